// Pictures of sound: one node's wave against the instant at which it was due, the axis under them, the spectrogram.

import { canvasOf, palette } from "./palette.js";
import { colourBar, drawSpectrogram, frequencyTicks, RANGE_DB } from "./spectrum.js";

const BAR_PX = 54;
const LEFT_PX = 48;
const STEPS_S = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

// view: {from_s, to_s} on the axis whose zero is the predicted arrival; start_s: where the clip begins on it.
// marks: [{at_s, sigma_s, used, main, round}].
export function drawWave(canvas, size, { sound, start_s, view, full, marks, aligned, isUsed }) {
  const { width, height } = size;
  const context = canvasOf(canvas, size);
  const colours = palette();
  const x = (at_s) => ((at_s - view.from_s) / (view.to_s - view.from_s)) * width;
  const middle = height / 2;
  context.fillStyle = colours.line;
  context.fillRect(0, middle, width, 1);
  if (aligned) {
    context.strokeStyle = colours.ink;
    context.setLineDash([3, 3]);
    rule(context, x(0), 0, height);
    context.setLineDash([]);
  }
  if (sound) drawSamples(context, { sound, start_s, view, full, width, height, colour: isUsed ? colours.used : colours.quiet });
  for (const mark of marks) drawPick(context, mark, { x, height, colours });
}

function rule(context, x, top, bottom) {
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(Math.round(x) + 0.5, top);
  context.lineTo(Math.round(x) + 0.5, bottom);
  context.stroke();
}

function drawSamples(context, { sound, start_s, view, full, width, height, colour }) {
  const samples = sound.buffer.getChannelData(0);
  const rate_hz = sound.buffer.sampleRate;
  const first = (view.from_s - start_s) * rate_hz;
  const perPixel = ((view.to_s - view.from_s) * rate_hz) / width;
  const middle = height / 2;
  const scale = full > 0 ? (middle - 1) / full : 0;
  const y = (value) => middle - Math.max(-1, Math.min(1, value * scale / (middle - 1))) * (middle - 1);
  context.fillStyle = context.strokeStyle = colour;
  context.lineWidth = 1;
  if (perPixel < 2) {
    context.beginPath();
    const [low, high] = [Math.max(0, Math.floor(first)), Math.min(samples.length - 1, Math.ceil(first + perPixel * width))];
    for (let i = low; i <= high; i += 1) context.lineTo((i - first) / perPixel, y(samples[i]));
    context.stroke();
    return;
  }
  for (let pixel = 0; pixel < width; pixel += 1) {
    const low = Math.max(0, Math.floor(first + pixel * perPixel));
    const high = Math.min(samples.length, Math.ceil(first + (pixel + 1) * perPixel));
    if (low >= high) continue;
    let [least, most] = [samples[low], samples[low]];
    for (let i = low + 1; i < high; i += 1) {
      if (samples[i] < least) least = samples[i];
      else if (samples[i] > most) most = samples[i];
    }
    const top = y(most);
    context.fillRect(pixel, top, 1, Math.max(1, y(least) - top));
  }
}

// The pick: a line with a triangle where it was used, a cross where it was left out; the band is its 1-sigma; the bar
// from the zero line to it is the residual. Picks of other rounds are short.
function drawPick(context, { at_s, sigma_s, used, main, round }, { x, height, colours }) {
  const at = x(at_s);
  context.strokeStyle = context.fillStyle = main ? (used ? colours.target : colours.rejected) : colours.quiet;
  if (!main) {
    rule(context, at, height - 7, height);
    context.fillText(String(round), at + 2, height - 1);
    return;
  }
  if (sigma_s) {
    context.globalAlpha = 0.25;
    const half = Math.max(1, x(at_s + sigma_s) - at);
    context.fillRect(at - half, 0, 2 * half, height);
    context.globalAlpha = 1;
  }
  rule(context, at, 0, height);
  context.fillRect(Math.min(x(0), at), height - 3, Math.abs(at - x(0)), 3);
  context.beginPath();
  if (used) {
    context.moveTo(at - 5, 0);
    context.lineTo(at + 6, 0);
    context.lineTo(at + 0.5, 7);
    context.fill();
    return;
  }
  context.lineWidth = 2;
  context.moveTo(at - 4, 1);
  context.lineTo(at + 4, 9);
  context.moveTo(at + 4, 1);
  context.lineTo(at - 4, 9);
  context.stroke();
}

export function drawAxis(canvas, size, view) {
  const { width } = size;
  const context = canvasOf(canvas, size);
  context.fillStyle = palette().quiet;
  context.textAlign = "center";
  for (const { at_s, label } of ticks(view, width)) {
    const x = ((at_s - view.from_s) / (view.to_s - view.from_s)) * width;
    context.fillRect(Math.round(x), 0, 1, 4);
    if (x > 16 && x < width - 22) context.fillText(label, x, 15);
  }
}

function ticks({ from_s, to_s }, width) {
  const wanted = (to_s - from_s) / Math.max(2, width / 80);
  const step_s = STEPS_S.find((step) => step >= wanted) ?? STEPS_S.at(-1);
  const made = [];
  for (let n = Math.ceil(from_s / step_s); n * step_s <= to_s; n += 1) made.push({ at_s: n * step_s, label: `${+(1000 * n * step_s).toFixed(1)} ms` });
  return made;
}

export function drawSpectrum(canvas, size, { made, start_s, view, at_s }) {
  const { width, height } = size;
  const context = canvasOf(canvas, size);
  const colours = palette();
  const box = { x: LEFT_PX, y: 4, width: width - LEFT_PX - BAR_PX, height: height - 22 };
  drawSpectrogram(context, box, made);
  const x = (time_s) => box.x + ((time_s - start_s) / made.duration_s) * box.width;
  context.fillStyle = colours.quiet;
  context.textAlign = "right";
  for (const { label, share } of frequencyTicks(made)) {
    const y = box.y + (1 - share) * box.height;
    context.fillRect(box.x - 4, y, 4, 1);
    context.fillText(label, box.x - 6, y + 4);
  }
  context.textAlign = "center";
  const whole = { from_s: start_s, to_s: start_s + made.duration_s };
  for (const tick of ticks(whole, box.width)) {
    if (x(tick.at_s) > box.x + 14 && x(tick.at_s) < box.x + box.width - 20) context.fillText(tick.label, x(tick.at_s), height - 4);
    context.fillRect(x(tick.at_s), box.y + box.height, 1, 4);
  }
  if (at_s !== null) {
    context.fillStyle = "#fff";
    context.fillRect(x(at_s) - 1, box.y, 3, box.height);
    context.fillStyle = "#000";
    context.fillRect(x(at_s), box.y, 1, box.height);
  }
  context.strokeStyle = "#fff";
  context.setLineDash([2, 3]);
  for (const edge of [view.from_s, view.to_s]) if (edge > whole.from_s && edge < whole.to_s) rule(context, x(edge), box.y, box.y + box.height);
  context.setLineDash([]);
  const bar = { x: width - BAR_PX + 8, y: box.y, width: 8, height: box.height };
  colourBar(context, bar);
  context.fillStyle = colours.quiet;
  context.textAlign = "left";
  context.fillText("0 dB", bar.x + 11, bar.y + 9);
  context.fillText(`−${RANGE_DB}`, bar.x + 11, bar.y + bar.height);
  return { left: box.x, width: box.width, ...whole };
}
