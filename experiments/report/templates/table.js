// Tables of results: sorting by any column, within each group of tasks, and filters. Without this they are whole as they stand.
(() => {
  // What a cell is sorted by: its data-sort, else the number it begins with ("0.42", "[61, 100]", "3.1 k"), else its text.
  const sizes = { k: 1e3, M: 1e6, G: 1e9 };
  const key = (row, column) => {
    const cell = row.cells[column];
    const text = "sort" in cell.dataset ? cell.dataset.sort : cell.textContent.trim();
    if (["", "\u2013"].includes(text)) return NaN;
    const found = text.match(/^\[?(-?\d[\d.]*(?:e[-+]?\d+)?)(?: ([kMG])\b)?/);
    return column && found ? Number(found[1]) * (sizes[found[2]] || 1) : text;
  };
  const compare = (one, other, sign) => {
    if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other); // unknown ones last
    if (typeof one === "string" || typeof other === "string") return sign * String(one).localeCompare(String(other));
    return sign * (one - other);
  };
  const makeSortable = (table) => {
    const headers = [...table.tHead.rows[0].cells];
    const sort = (column, ascending) => {
      for (const body of table.tBodies) {
        const fixed = [...body.rows].find((row) => row.classList.contains("bound")) || null;
        const runs = [...body.rows].filter((row) => !["group", "bound"].some((kind) => row.classList.contains(kind)));
        runs.sort((one, other) => compare(key(one, column), key(other, column), ascending ? 1 : -1));
        for (const row of runs) body.insertBefore(row, fixed);
      }
      headers.forEach((header, place) => {
        if (place === column) header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        else header.removeAttribute("aria-sort");
      });
    };
    headers.forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      const name = button.textContent;
      if (name.startsWith("95 %")) {
        const whose = headers.slice(0, column).reverse().find((each) => !each.textContent.startsWith("95 %"));
        button.setAttribute("aria-label", `${name}, lower end, of ${whose ? whose.textContent : "the value"}`);
      }
      button.addEventListener("click", () => sort(column, header.getAttribute("aria-sort") !== "ascending"));
    });
  };
  for (const table of document.querySelectorAll(".results table")) if (table.tHead) makeSortable(table);

  const form = document.getElementById("filters");
  if (!form) return;
  const bodies = document.querySelectorAll(".results tbody");
  const filter = () => {
    const wanted = (name) => form.elements[name].value;
    const text = wanted("text").trim().toLowerCase();
    let shown = 0;
    let all = 0;
    for (const body of bodies) {
      const fits = ["suite", "split", "tag"].every(
        (name) => !wanted(name) || !(name in body.dataset) || body.dataset[name] === wanted(name),
      );
      let some = 0;
      for (const row of body.querySelectorAll("tr.run")) {
        const kind = !wanted("kind") || row.dataset.kind === wanted("kind");
        row.hidden = !(fits && kind && row.dataset.name.toLowerCase().includes(text));
        some += !row.hidden;
        all += 1;
      }
      body.hidden = !some;
      shown += some;
    }
    document.getElementById("filtered").textContent = shown === all ? "" : `${shown} of ${all} rows`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter(); // a browser that comes back to the page may have kept what was chosen
})();
