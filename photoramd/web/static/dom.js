/** Making elements: no markup is ever parsed from text, so nothing in a name can become code. */

/** Return an element; attributes that are null or false are left out, `on…` are listeners. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** Return a drawing of the page's sprite. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const one = (selector, from = document) => from.querySelector(selector);
export const all = (selector, from = document) => [...from.querySelectorAll(selector)];

const NUMBERS = new Intl.NumberFormat("en");
export const count = (number) => NUMBERS.format(number);
export const photos = (number) => `${count(number)} ${number === 1 ? "photo" : "photos"}`;

/** Show an element or hide it. */
export function show(element, isShown = true) {
  element.hidden = !isShown;
}

/** Why tags cannot be changed here; null if they can. */
export const whyReadOnly = document.body.dataset.readOnly ?? null;

export const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
export const isPhone = () => matchMedia("(max-width: 760px)").matches;

/** Call a function once nothing has asked for it for some milliseconds. */
export function debounce(milliseconds, call) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(call, milliseconds, ...values);
  };
}

/** Say something at the bottom for some seconds, with an action if there is one. */
export function toast(text, action) {
  const place = one("#toasts");
  const item = h("div", { class: "toast" }, h("span", {}, text));
  const leave = () => item.remove();
  if (action) {
    item.append(
      h("button", { type: "button", onclick: () => { leave(); action.run(); } }, action.label),
    );
  }
  place.replaceChildren(item);
  setTimeout(leave, 8000);
}
