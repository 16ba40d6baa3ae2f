/**
 * Points, boxes and similarity transforms in pictures.
 *
 * @module
 */

/** In pixels, from the picture's top left corner. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** An upright rectangle in pixels; it may reach beyond the picture. */
export interface Box extends Point {
  readonly width: number;
  readonly height: number;
}

/** What two boxes have in common, in square pixels. */
export function sharedArea(a: Box, b: Box): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  return width <= 0 || height <= 0 ? 0 : width * height;
}

/** Intersection over union of two boxes, 0 to 1. */
export function overlap(a: Box, b: Box): number {
  const both = sharedArea(a, b);
  return both === 0 ? 0 : both / (a.width * a.height + b.width * b.height - both);
}

/** The square around a box's centre whose side is the box's longer one. */
export function squareAround({ x, y, width, height }: Box): Box {
  const side = Math.max(width, height);
  return { x: x + (width - side) / 2, y: y + (height - side) / 2, width: side, height: side };
}

/** Turns, scales and shifts: (x, y) -> (a x - b y + tx, b x + a y + ty). */
export interface Similarity {
  readonly a: number;
  readonly b: number;
  readonly tx: number;
  readonly ty: number;
}

/** Where a point lands. */
export function transform({ a, b, tx, ty }: Similarity, { x, y }: Point): Point {
  return { x: a * x - b * y + tx, y: b * x + a * y + ty };
}

/**
 * The similarity that takes `from` to `to` with the least sum of squared distances (Umeyama 1991; in the plane, with
 * points as complex numbers, a + ib = sum conj(p) q / sum |p|^2 over the points less their means).
 *
 * @throws {RangeError} if the numbers of points differ or all of `from` are one point
 */
export function fitSimilarity(from: readonly Point[], to: readonly Point[]): Similarity {
  const mean = (points: readonly Point[], key: "x" | "y") =>
    points.reduce((sum, point) => sum + point[key], 0) / points.length;
  const [fromX, fromY, toX, toY] = [mean(from, "x"), mean(from, "y"), mean(to, "x"), mean(to, "y")];
  let [re, im, spread] = [0, 0, 0];
  for (let i = 0; i < from.length; i++) {
    const [px, py] = [from[i].x - fromX, from[i].y - fromY];
    const [qx, qy] = [(to[i]?.x ?? NaN) - toX, (to[i]?.y ?? NaN) - toY];
    re += px * qx + py * qy;
    im += px * qy - py * qx;
    spread += px * px + py * py;
  }
  if (from.length !== to.length || !(spread > 0)) {
    throw new RangeError(
      `Cannot fit a similarity: got ${from.length} and ${to.length} points, spread ${spread}; ` +
        "expected as many of both, not all in one place",
    );
  }
  const [a, b] = [re / spread, im / spread];
  return { a, b, tx: toX - a * fromX + b * fromY, ty: toY - b * fromX - a * fromY };
}
