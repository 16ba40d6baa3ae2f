/**
 * The head around the features, as SVG: neck, hair, ears, face with shading, beard, glasses.
 *
 * @module
 */
import { n, point, type Project } from "./geometry.ts";
import { type Identity, mix, type Rgb } from "./identity.ts";

const BLACK: Rgb = [20, 14, 12];
const WHITE: Rgb = [255, 250, 244];

/** A colour as SVG wants it. */
export function css(colour: Rgb, opacity = 1): string {
  const [r, g, b] = colour.map((value) => Math.round(value));
  return opacity === 1 ? `rgb(${r},${g},${b})` : `rgba(${r},${g},${b},${n(opacity)})`;
}

/** A closed smooth curve through points (Catmull-Rom as cubic Bezier curves). */
export function smoothPath(points: readonly (readonly [number, number])[], closed: boolean): string {
  const count = points.length;
  const at = (i: number) =>
    closed ? points[(i + count) % count] : points[Math.max(0, Math.min(count - 1, i))];
  let path = `M${point(points[0])}`;
  for (let i = 0; i < (closed ? count : count - 1); i++) {
    const [p0, p1, p2, p3] = [at(i - 1), at(i), at(i + 1), at(i + 2)];
    const c1 = [p1[0] + (p2[0] - p0[0]) / 6, p1[1] + (p2[1] - p0[1]) / 6] as const;
    const c2 = [p2[0] - (p3[0] - p1[0]) / 6, p2[1] - (p3[1] - p1[1]) / 6] as const;
    path += `C${point(c1)} ${point(c2)} ${point(p2)}`;
  }
  return closed ? `${path}Z` : path;
}

/** The outline of the face, jaw dropped by `jaw` pixels. */
function outline({ faceWidth, jawLength, jawWidth }: Identity, project: Project, jaw: number): string {
  const half = [
    [0, -38],
    [faceWidth * 0.62, -33],
    [faceWidth * 0.95, -17],
    [faceWidth, 2],
    [faceWidth * 0.96, 16],
    [faceWidth * (0.45 + 0.5 * jawWidth), 29 + jaw * 0.5],
    [faceWidth * 0.62 * jawWidth, jawLength - 5 + jaw * 0.9],
    [0, jawLength + jaw],
  ] as const;
  const left = half.slice(1, -1).reverse().map(([x, y]) => [-x, y] as const);
  return smoothPath([...half, ...left].map(([x, y]) => project(x, y, -6)), true);
}

type SoftColour = "shadow" | "blush" | "shine";

/** Opacity of a soft spot from its centre to its rim. A face takes 3.7 ms so, 5.4 with blur filters. */
const SOFT_STOPS = [[0, 1], [0.3, 0.92], [0.6, 0.5], [0.8, 0.17], [1, 0]] as const;

function softGradient(id: string, colour: Rgb): string {
  const stops = SOFT_STOPS.map(([offset, opacity]) =>
    `<stop offset="${offset}" stop-color="${css(colour, opacity)}"/>`
  );
  return `<radialGradient id="${id}">${stops.join("")}</radialGradient>`;
}

/** An ellipse that looks blurred by a Gaussian of `sigma` pixels, in a colour of {@link headDefinitions}. */
export function softSpot(
  [x, y]: readonly [number, number],
  [rx, ry]: readonly [number, number],
  colour: SoftColour,
  opacity: number,
  sigma = 2.6,
): string {
  const peak = 1 - Math.exp(-rx * ry / (2 * sigma ** 2)); // what a blur leaves of a small ellipse's centre
  const rim = (radius: number) => n(Math.hypot(radius, 1.18 * sigma) / 0.6); // half of the peak where a blur has it
  return `<ellipse cx="${n(x)}" cy="${n(y)}" rx="${rim(rx)}" ry="${rim(ry)}" ` +
    `fill="url(#${colour})" fill-opacity="${n(opacity * peak)}"/>`;
}

/** Gradients that give the face volume; light comes from `lightX` in [-1, 1]. */
export function headDefinitions({ skin }: Identity, lightX: number): string {
  const bright = css(mix(skin, WHITE, 0.22));
  const dark = css(mix(skin, BLACK, 0.34));
  const centre = n(50 + 22 * lightX);
  return `<radialGradient id="skin" cx="${centre}%" cy="38%" r="72%"><stop offset="0" stop-color="${bright}"/>` +
    `<stop offset=".55" stop-color="${css(skin)}"/><stop offset="1" stop-color="${dark}"/></radialGradient>` +
    `<filter id="soft" x="-50%" y="-50%" width="200%" height="200%"><feGaussianBlur stdDeviation="1.1"/></filter>` +
    softGradient("shadow", mix(skin, BLACK, 0.55)) + softGradient("blush", mix(skin, [200, 70, 60], 0.6)) +
    softGradient("shine", WHITE);
}

/** What lies behind the face: shoulders, neck, long hair, ears. */
export function backOfHead(identity: Identity, project: Project): string {
  const { skin, hair, clothes, faceWidth, jawLength, hairStyle } = identity;
  const shoulder = `<path d="M${point(project(-62, jawLength + 40))}Q${point(project(-30, jawLength + 8))} ` +
    `${point(project(0, jawLength + 12))}Q${point(project(30, jawLength + 8))} ${
      point(project(62, jawLength + 40))
    }Z" ` +
    `fill="${css(clothes)}"/>`;
  const neckColour = css(mix(skin, BLACK, 0.28));
  const neck = `<path d="M${point(project(-17, 20))}L${point(project(-19, jawLength + 14))}` +
    `Q${point(project(0, jawLength + 22))} ${point(project(19, jawLength + 14))}L${
      point(project(17, 20))
    }Z" fill="${neckColour}"/>`;
  const ear = (side: number) => {
    const [x, y] = project(side * (faceWidth + 1), 2, -14);
    return `<ellipse cx="${n(x)}" cy="${n(y)}" rx="4.6" ry="8" fill="${css(mix(skin, BLACK, 0.16))}"/>` +
      `<ellipse cx="${n(x)}" cy="${n(y)}" rx="2.2" ry="4.6" fill="${css(mix(skin, BLACK, 0.34))}"/>`;
  };
  const behind = (drop: number, wide: number) =>
    smoothPath(
      [
        [0, -50],
        [wide * 0.8, -42],
        [wide, -10],
        [wide * 0.98, drop * 0.5],
        [wide * 0.8, drop],
        [
          -wide * 0.8,
          drop,
        ],
        [-wide * 0.98, drop * 0.5],
        [-wide, -10],
        [-wide * 0.8, -42],
      ].map(([x, y]) => project(x, y, -16)),
      true,
    );
  const wide = faceWidth + 8;
  const colour = css(mix(hair, BLACK, 0.3));
  const back = hairStyle === "long"
    ? `<path d="${behind(52, wide + 3)}" fill="${colour}"/>`
    : hairStyle === "bald"
    ? ""
    : `<path d="${behind(6, wide - 3)}" fill="${colour}"/>`;
  const [bunX, bunY] = project(0, -52, -20);
  const bun = hairStyle === "bun" ? `<circle cx="${n(bunX)}" cy="${n(bunY)}" r="12" fill="${colour}"/>` : "";
  return bun + back + shoulder + neck + ear(-1) + ear(1);
}

/** The face itself, with cheeks, eye sockets and chin shaded; `jaw` pixels of jaw drop, `cheeks` raised in [0, 1]. */
export function faceSurface(identity: Identity, project: Project, jaw: number, cheeks: number): string {
  const { faceWidth, jawLength, beard, hair, eyeDistance, mouthHeight } = identity;
  const spot = (
    x: number,
    y: number,
    radii: readonly [number, number],
    colour: SoftColour,
    opacity: number,
  ) => softSpot(project(x, y), radii, colour, opacity);
  let svg = `<path d="${outline(identity, project, jaw)}" fill="url(#skin)"/>`;
  for (const side of [-1, 1]) {
    svg += spot(side * eyeDistance, -1, [9.5, 6], "shadow", 0.3);
    svg += spot(side * faceWidth * 0.62, 15 - 3 * cheeks, [8 + 2 * cheeks, 6], "blush", 0.16 + 0.3 * cheeks);
    svg += spot(side * faceWidth * 0.56, 10 - 3 * cheeks, [6, 3.5], "shine", 0.1 + 0.22 * cheeks);
  }
  svg += spot(0, mouthHeight + 9 + jaw * 0.7, [7, 2], "shadow", 0.4) + spot(0, -24, [16, 7], "shine", 0.1);
  if (beard > 0) {
    const half = [[faceWidth * 0.98, 8], [faceWidth * 0.92, 22], [faceWidth * 0.56, 37 + jaw * 0.8], [
      0,
      jawLength + jaw - 0.5,
    ]];
    const inner = [[faceWidth * 0.5, 24], [9, 21.5], [0, 22]];
    const left = (points: number[][]) => points.map(([x, y]) => [-x, y]);
    const loop = [
      ...half,
      ...left(half).reverse().slice(1),
      ...left(inner),
      ...inner.slice().reverse().slice(1),
    ];
    const path = smoothPath(loop.map(([x, y]) => project(x, y, -4)), true);
    svg += `<path d="${path}" fill="${css(hair, beard)}" filter="url(#soft)"/>`;
  }
  return svg;
}

/** Hair before the forehead. */
export function frontHair({ hair, hairStyle, faceWidth }: Identity, project: Project): string {
  if (hairStyle === "bald") return "";
  const w = faceWidth + 1;
  const line = hairStyle === "fringe" ? -17 : -27;
  const parting = hairStyle === "short" || hairStyle === "bun" ? 0 : 9;
  const points: [number, number][] = [
    [-w - 2, 0],
    [-w - 2.5, -18],
    [-w * 0.78, -39],
    [0, -48],
    [w * 0.78, -39],
    [w + 2.5, -18],
    [w + 2, 0],
    [w * 0.92, -16],
    [w * 0.62, line],
    [parting, line - 5],
    [-w * 0.55, line + 1],
    [-w * 0.92, -15],
  ];
  const path = smoothPath(points.map(([x, y]) => project(x, y, -3)), true);
  return `<path d="${path}" fill="${css(hair)}"/>` + softSpot(project(-8, -38), [14, 3], "shine", 0.16, 1.1);
}

/** Glasses over the eyes. */
export function glasses({ glasses: kind, eyeDistance }: Identity, project: Project): string {
  if (kind === "none") return "";
  const rim = `fill="rgba(220,235,245,.13)" stroke="rgb(38,34,36)" stroke-width="1.5"`;
  const lens = (side: number) => {
    const [cx, cy] = project(side * eyeDistance, 1, 2);
    if (kind === "round") return `<ellipse cx="${n(cx)}" cy="${n(cy)}" rx="10.5" ry="9.5" ${rim}/>`;
    return `<rect x="${n(cx - 11)}" y="${n(cy - 8)}" width="22" height="16" rx="3" ${rim}/>`;
  };
  const bridge = `M${point(project(-eyeDistance + 10, 0, 2))}Q${point(project(0, -3, 8))} ${
    point(project(eyeDistance - 10, 0, 2))
  }`;
  return lens(-1) + lens(1) + `<path d="${bridge}" fill="none" stroke="rgb(38,34,36)" stroke-width="1.5"/>`;
}
