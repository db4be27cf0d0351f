// The ranking: sorting by any column, within each group of tasks, and filters. Without it the table is whole as it stands.
(() => {
  const table = document.getElementById("ranking");
  if (!table) return;
  const headers = [...table.tHead.rows[0].cells];
  const bodies = [...table.tBodies];

  const key = (row, column) => {
    const cell = row.cells[column];
    if (!("sort" in cell.dataset)) return cell.textContent.trim();
    return cell.dataset.sort === "" ? NaN : Number(cell.dataset.sort);
  };
  const compare = (one, other, sign) => {
    if (typeof one === "string") return sign * one.localeCompare(other);
    if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other); // unknown ones last
    return sign * (one - other);
  };
  const sort = (column, ascending) => {
    for (const body of bodies) {
      const runs = [...body.querySelectorAll("tr.run")];
      const first = body.querySelector("tr.bound");
      runs.sort((one, other) => compare(key(one, column), key(other, column), ascending ? 1 : -1));
      for (const row of runs) body.insertBefore(row, first);
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
    if (name === "95 %") button.setAttribute("aria-label", `lower end of the interval of ${headers[column - 1].textContent}`);
    button.addEventListener("click", () => sort(column, header.getAttribute("aria-sort") !== "ascending"));
  });

  const form = document.getElementById("filters");
  const filter = () => {
    const wanted = (name) => form.elements[name].value;
    const text = wanted("text").trim().toLowerCase();
    let shown = 0;
    let all = 0;
    for (const body of bodies) {
      const fits = ["suite", "split", "tag"].every((name) => !wanted(name) || body.dataset[name] === wanted(name));
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
