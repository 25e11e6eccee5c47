// Loaded before the page is drawn, so that neither a wrong theme flashes up nor anything moves.
{
  const root = document.documentElement;
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  root.classList.add("js");
  root.classList.toggle("with-facets", localStorage.getItem("facets") !== "off");
}
