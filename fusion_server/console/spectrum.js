// The spectrogram of one clip: short-time Fourier transform, Hann window, in dB below the strongest.

const WINDOW = 512;
export const RANGE_DB = 70;
const TICKS_KHZ = [0.5, 1, 2, 4, 8, 16, 32];

// Levels of a clip in dB below its maximum, column after column: `frames` of WINDOW / 2 + 1 frequencies.
export function spectrogram(buffer, columns) {
  const samples = buffer.getChannelData(0);
  const frames = Math.max(1, Math.min(columns, Math.floor(samples.length / 32)));
  const bins = WINDOW / 2 + 1;
  const power = new Float32Array(frames * bins);
  const [real, imaginary] = [new Float64Array(WINDOW), new Float64Array(WINDOW)];
  let [most, at] = [0, 0];
  for (let frame = 0; frame < frames; frame += 1) {
    const first = Math.round(((frame + 0.5) * samples.length) / frames) - WINDOW / 2;
    for (let i = 0; i < WINDOW; i += 1) {
      real[i] = (samples[first + i] ?? 0) * HANN[i];
      imaginary[i] = 0;
    }
    fourier(real, imaginary);
    for (let bin = 0; bin < bins; bin += 1) {
      const value = real[bin] ** 2 + imaginary[bin] ** 2;
      power[frame * bins + bin] = value;
      if (value > most) [most, at] = [value, frame * bins + bin];
    }
  }
  const levels_db = power.map((value) => (most > 0 ? 10 * Math.log10(Math.max(value / most, 1e-12)) : -RANGE_DB));
  const { duration: duration_s, sampleRate: rate_hz } = buffer;
  const strongest = { time_s: ((Math.floor(at / bins) + 0.5) * duration_s) / frames, frequency_hz: ((at % bins) * rate_hz) / WINDOW };
  return { levels_db, frames, bins, duration_s, rate_hz, strongest };
}

const HANN = Float64Array.from({ length: WINDOW }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / WINDOW));

// In place, radix 2.
function fourier(real, imaginary) {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i += 1) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const step = (-2 * Math.PI) / size;
    for (let k = 0; k < size / 2; k += 1) {
      const [c, s] = [Math.cos(step * k), Math.sin(step * k)];
      for (let i = k; i < n; i += size) {
        const j = i + size / 2;
        const [a, b] = [real[j] * c - imaginary[j] * s, real[j] * s + imaginary[j] * c];
        [real[j], imaginary[j]] = [real[i] - a, imaginary[i] - b];
        real[i] += a;
        imaginary[i] += b;
      }
    }
  }
}

// Dark blue to yellow, lightness rising all the way: the same order of brightness to every eye, and in print.
const STOPS = [[0, 24, 64], [38, 60, 110], [92, 96, 116], [136, 130, 118], [186, 170, 98], [255, 233, 69]];

function colour(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (STOPS.length - 1);
  const low = STOPS[Math.floor(at)];
  const high = STOPS[Math.floor(at) + 1];
  return low.map((value, index) => Math.round(value + (high[index] - value) * (at % 1)));
}

const COLOURS = Array.from({ length: 256 }, (_, i) => colour(i / 255));

// Draws into a box of a context; frequencies are spaced as the ear does, from 100 Hz up, logarithmically.
export function drawSpectrogram(context, { x, y, width, height }, made) {
  const [wide, high] = [Math.max(1, Math.round(width)), Math.max(1, Math.round(height))];
  const image = new ImageData(wide, high);
  const binOf = Array.from({ length: high }, (_, row) => Math.round((frequencyAt(1 - row / high, made) * WINDOW) / made.rate_hz));
  for (let column = 0; column < wide; column += 1) {
    const frame = Math.min(made.frames - 1, Math.floor((column * made.frames) / wide)) * made.bins;
    for (let row = 0; row < high; row += 1) {
      const level = Math.max(0, 1 + made.levels_db[frame + binOf[row]] / RANGE_DB);
      image.data.set(COLOURS[Math.round(255 * level)], 4 * (row * wide + column));
      image.data[4 * (row * wide + column) + 3] = 255;
    }
  }
  const sheet = new OffscreenCanvas(wide, high);
  sheet.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(sheet, x, y, width, height);
}

const LOWEST_HZ = 100;

const frequencyAt = (share, { rate_hz }) => LOWEST_HZ * (rate_hz / 2 / LOWEST_HZ) ** share;

export const frequencyTicks = ({ rate_hz }) =>
  TICKS_KHZ.filter((khz) => khz * 1000 < rate_hz / 2).map((khz) => ({
    label: `${khz} kHz`,
    share: Math.log((khz * 1000) / LOWEST_HZ) / Math.log(rate_hz / 2 / LOWEST_HZ),
  }));

export function colourBar(context, { x, y, width, height }) {
  for (let row = 0; row < height; row += 1) {
    context.fillStyle = `rgb(${COLOURS[Math.round(255 * (1 - row / height))].join(" ")})`;
    context.fillRect(x, y + row, width, 1);
  }
}
