/** The page of one photo. */

import { address, queryOf } from "./api.js";
import { one } from "./dom.js";
import { onEdited, startTagDialog } from "./edits.js";
import { on } from "./live.js";
import { startPage } from "./page.js";
import { PhotoView, idIn, photoPage } from "./photo.js";

const parameters = new URLSearchParams(location.search);
const query = { q: parameters.get("q") ?? "", sort: parameters.get("sort") ?? "taken" };
const search = startPage();
search.set(query.q);
startTagDialog();

const view = new PhotoView(one("#view"), query, {
  moved: () => {},
  turned: (id) => history.pushState({}, "", photoPage(id, query)),
  close: () => location.assign(address("", queryOf(query.q, query.sort))),
});
document.addEventListener("photo-shown", ({ detail }) => { document.title = `${detail.name} · photoramd`; });
addEventListener("popstate", () => view.show(idIn(location.href)));
onEdited((ids) => { if (!ids.length || ids.includes(view.id)) view.refresh(); });
on("change", () => view.refresh());
view.listen();
const given = one("#given");
view.show(idIn(location.href), given ? JSON.parse(given.textContent) : undefined);
