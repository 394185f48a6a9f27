// Time between instants, and what may be said of it.

// Seconds between two instants, without losing the nanoseconds that a number of milliseconds cannot hold.
export function secondsAfter(utc, base) {
  const [whole, fraction] = instant(utc);
  const [baseWhole, baseFraction] = instant(base);
  return whole - baseWhole + (fraction - baseFraction);
}

function instant(utc) {
  const [seconds, fraction = "0"] = utc.replace("Z", "").split(".");
  return [Date.parse(`${seconds}Z`) / 1000, Number(`0.${fraction}`)];
}

export const signed = (value, digits = 1) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

// Whoever may not know where sensors are gets arrivals to the minute: no time between them means anything then.
export const timesAreCut = (incident) => incident.shots.some((shot) => shot.arrivals.some(({ time_utc }) => !time_utc.includes(".")));
