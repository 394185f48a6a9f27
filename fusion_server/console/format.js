// Words and elements. Text from outside goes in through textContent only.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  return fill(made, options, children);
}

export function svg(tag, options = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  return fill(made, options, children);
}

function fill(made, { text, on, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  if (text !== undefined) made.textContent = text;
  for (const [event, listener] of Object.entries(on ?? {})) made.addEventListener(event, listener);
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function clock(utc, digits = 1) {
  const [, time] = utc.replace("Z", "").split("T");
  const [seconds, fraction = ""] = time.split(".");
  return digits ? `${seconds}.${(fraction + "000000000").slice(0, digits)}` : seconds;
}

export const day = (utc) => utc.slice(0, 10);

export const stamp = (utc, digits = 3) => `${day(utc)} ${clock(utc, digits)} UTC`;

export function metres(length_m) {
  if (length_m >= 10000) return `${(length_m / 1000).toFixed(1)} km`;
  return `${length_m < 100 ? length_m.toFixed(1) : length_m.toFixed(0)} m`;
}

export const percent = (share) => `${(100 * share).toFixed(0)} %`;

export const rounds = (count) => `${count} ${count === 1 ? "shot" : "shots"}`;

export function place(thing) {
  if (thing.lat_deg === undefined || thing.lon_deg === undefined) return `x ${thing.x_m.toFixed(1)} m, y ${thing.y_m.toFixed(1)} m`;
  return `${thing.lat_deg.toFixed(6)}, ${thing.lon_deg.toFixed(6)}`;
}

export function age(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

// What each node did for an incident: used in a fix, heard but left out, or not heard.
export function roles(incident) {
  const found = new Map();
  for (const shot of incident?.shots ?? []) {
    for (const arrival of shot.arrivals) {
      const before = found.get(arrival.node);
      if (before !== "used") found.set(arrival.node, arrival.used ? "used" : "rejected");
    }
  }
  return found;
}

// A span to count down or up: 0:07, 2:14, 1:02:03, then days.
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  if (whole >= 86400) return `${Math.floor(whole / 86400)} d`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
