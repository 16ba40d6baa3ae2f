/**
 * Where a point of the face lands in the crop: the face is an ellipsoid that turns (yaw, pitch) and rolls.
 *
 * @module
 */

/** Side of the square that faces are drawn in. */
export const CANVAS = 112;
/** Between the eyes' height and the brow, in the crop. */
const CENTRE_X = 56;
const CENTRE_Y = 51;
/** Half axes of the ellipsoid, in pixels. */
const AXES = { x: 40, y: 56, z: 34 };

/** Head pose, in radians; scale around 1; shift in pixels. */
export interface Pose {
  readonly yaw: number;
  readonly pitch: number;
  readonly roll: number;
  readonly scale: number;
  readonly shiftX: number;
  readonly shiftY: number;
}

/** x to the right of the nose line, y below the eyes' line, depth before the ellipsoid's surface; in pixels. */
export type Project = (x: number, y: number, depth?: number) => readonly [number, number];

/** The projection of a pose. */
export function projector({ yaw, pitch, roll, scale, shiftX, shiftY }: Pose): Project {
  const [sinYaw, cosYaw] = [Math.sin(yaw), Math.cos(yaw)];
  const [sinPitch, cosPitch] = [Math.sin(pitch), Math.cos(pitch)];
  const [sinRoll, cosRoll] = [Math.sin(roll), Math.cos(roll)];
  const rest = AXES.z * 0.8; // turning about the neck's axis, not about the face's surface
  return (x, y, depth = 0) => {
    const inside = 1 - (x / AXES.x) ** 2 - ((y - 8) / AXES.y) ** 2;
    const z = AXES.z * Math.sqrt(Math.max(0, inside)) + depth - rest + AXES.z * 0.55;
    const turnedX = x * cosYaw + z * sinYaw;
    const turnedZ = z * cosYaw - x * sinYaw;
    const turnedY = y * cosPitch + turnedZ * sinPitch;
    const px = scale * (turnedX * cosRoll - turnedY * sinRoll);
    const py = scale * (turnedX * sinRoll + turnedY * cosRoll);
    return [CENTRE_X + shiftX + px, CENTRE_Y + shiftY + py];
  };
}

/** A number as SVG wants it: two decimals are a hundredth of a pixel. */
export function n(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** A point as SVG wants it. */
export function point([x, y]: readonly [number, number]): string {
  return `${n(x)} ${n(y)}`;
}
