// Settings of this browser. Where it keeps none, as in private windows, they last as long as the page.

const HERE = new Map();

export function remember(name, value) {
  HERE.set(name, value);
  try { localStorage.setItem(`shotline.${name}`, value); } catch { /* lasts as long as the page */ }
}

export function recall(name) {
  if (HERE.has(name)) return HERE.get(name);
  try { return localStorage.getItem(`shotline.${name}`); } catch { return null; }
}
