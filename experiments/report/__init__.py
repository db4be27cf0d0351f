"""From rows to statistics, tables, pictures and one page of HTML."""
