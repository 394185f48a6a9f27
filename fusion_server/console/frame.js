// Metres of the local frame and degrees: the same WGS-84 tangent plane as the server's, written out.

const SEMI_MAJOR_M = 6378137;
const FLATTENING = 1 / 298.257223563;
const ECCENTRICITY2 = FLATTENING * (2 - FLATTENING);
const rad = (degrees) => (degrees * Math.PI) / 180;
const deg = (radians) => (radians * 180) / Math.PI;

export class LocalFrame {
  constructor(lat_deg, lon_deg, height_m) {
    Object.assign(this, { lon_deg, height_m });
    const [lat, lon] = [rad(lat_deg), rad(lon_deg)];
    this.origin = ecef(lat, lon, height_m);
    const [sinLat, cosLat, sinLon, cosLon] = [Math.sin(lat), Math.cos(lat), Math.sin(lon), Math.cos(lon)];
    this.east = [-sinLon, cosLon, 0];
    this.north = [-sinLat * cosLon, -sinLat * sinLon, cosLat];
    this.up = [cosLat * cosLon, cosLat * sinLon, sinLat];
  }

  // Degrees of a place in the tangent plane; the longitude runs on across the date line, as a map does.
  toDegrees(x_m, y_m) {
    const [x, y, z] = [0, 1, 2].map((axis) => this.origin[axis] + x_m * this.east[axis] + y_m * this.north[axis]);
    const flat = Math.hypot(x, y);
    let lat = Math.atan2(z, flat * (1 - ECCENTRICITY2));
    for (let turn = 0; turn < 3; turn += 1) lat = Math.atan2(z + ECCENTRICITY2 * curvature(lat) * Math.sin(lat), flat);
    const lon_deg = deg(Math.atan2(y, x));
    return { lat_deg: deg(lat), lon_deg: lon_deg + 360 * Math.round((this.lon_deg - lon_deg) / 360) };
  }

  // Metres of a place at the height of the origin.
  toMetres(lat_deg, lon_deg) {
    const point = ecef(rad(lat_deg), rad(lon_deg), this.height_m);
    const along = (axis) => axis.reduce((sum, part, index) => sum + part * (point[index] - this.origin[index]), 0);
    return { x_m: along(this.east), y_m: along(this.north) };
  }
}

const curvature = (lat) => SEMI_MAJOR_M / Math.sqrt(1 - ECCENTRICITY2 * Math.sin(lat) ** 2);

function ecef(lat, lon, height_m) {
  const radius = curvature(lat);
  return [
    (radius + height_m) * Math.cos(lat) * Math.cos(lon),
    (radius + height_m) * Math.cos(lat) * Math.sin(lon),
    (radius * (1 - ECCENTRICITY2) + height_m) * Math.sin(lat),
  ];
}
