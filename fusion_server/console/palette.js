// The colours of the page for what is drawn on a canvas; read again when light and dark change.

const NAMES = ["surface", "raised", "line", "ink", "quiet", "accent", "used", "rejected", "target"];
const listeners = new Set();
let colours = null;

export function palette() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return colours;
}

export const onPalette = (listener) => listeners.add(listener);

function renew() {
  colours = null;
  listeners.forEach((listener) => listener());
}

document.addEventListener("themechange", renew);

// Sizes a canvas at the resolution of the screen; returns its context in CSS pixels, cleared.
export function canvasOf(canvas, { width, height }) {
  const scale = devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  return context;
}
