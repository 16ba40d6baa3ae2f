/**
 * Brows, eyes, nose and mouth as SVG, moved by action units (FACS: Ekman and Friesen 1978).
 *
 * @module
 */
import type { Intensities } from "./expressions.ts";
import { n, type Project } from "./geometry.ts";
import { css, smoothPath, softSpot } from "./head.ts";
import { type Identity, mix, type Rgb } from "./identity.ts";

const BLACK: Rgb = [20, 14, 12];
const WHITE: Rgb = [255, 250, 244];

type Point = readonly [number, number];

function stroke(points: readonly Point[], colour: string, width: number, extra = ""): string {
  return `<path d="${smoothPath(points, false)}" fill="none" stroke="${colour}" stroke-width="${n(width)}" ` +
    `stroke-linecap="round" ${extra}/>`;
}

/** Eyebrows: AU1 lifts the inner end, AU2 the outer one, AU4 lowers and draws together; folds where the skin bunches. */
export function brows(identity: Identity, units: Intensities, project: Project): string {
  const { hair, skin, browThickness, browTilt, browHeight, eyeDistance } = identity;
  const colour = css(mix(hair, BLACK, 0.35));
  const fold = css(mix(skin, BLACK, 0.6), 0.55);
  const { AU1, AU2, AU4, AU9 } = units;
  const down = 5.2 * AU4 + 2.5 * AU9;
  const innerX = eyeDistance - 9 - 2.8 * AU4;
  const innerY = -browHeight + 0.8 - 6.5 * AU1 + down;
  const middleY = -browHeight - 2.2 - 3.2 * AU1 - 4.8 * AU2 + 0.75 * down;
  const outerY = -browHeight + 2 + browTilt - 6.5 * AU2 + 1.2 * AU1 * (1 - AU2) + 0.2 * down;
  let svg = "";
  for (const side of [-1, 1]) {
    const at = (x: number, y: number) => project(side * x, y, 3);
    const upper = [
      at(innerX, innerY - browThickness * 0.5),
      at(eyeDistance + 1, middleY - browThickness * 0.6),
    ];
    const lower = [
      at(eyeDistance + 1, middleY + browThickness * 0.5),
      at(innerX, innerY + browThickness * 0.6),
    ];
    const loop = [...upper, at(eyeDistance + 10, outerY), ...lower];
    svg += `<path d="${smoothPath(loop, true)}" fill="${colour}"/>`;
    if (AU4 > 0.3) {
      const x = 2.2 + 0.6 * AU4;
      svg += stroke(
        [at(x, innerY - 4), at(x - 0.7, innerY + 2.5)],
        css(mix(skin, BLACK, 0.6), 0.75 * AU4),
        1,
      );
    }
  }
  const lift = Math.max(AU1, 0.7 * AU2);
  if (lift > 0.35) {
    const span = AU2 > 0.3 ? 20 : 9;
    for (const [i, height] of [-27, -23].entries()) {
      const y = height - 2 * lift + i;
      const arch = AU2 > 0.3 ? -1.5 : 1.5;
      svg += stroke(
        [project(-span, y - arch), project(0, y + arch * 0.3), project(span, y - arch)],
        fold,
        0.8 * lift,
      );
    }
  }
  return svg;
}

/** Eyes: AU5 widens, AU6 and AU7 narrow them, AU6 adds crow's feet; gaze in [-1, 1]; `blink` closes them. */
export function eyes(
  identity: Identity,
  units: Intensities,
  project: Project,
  gaze: Point,
  blink: number,
): string {
  const { eyeDistance, eyeSize, iris, skin } = identity;
  const { AU4, AU5, AU6, AU7, AU1 } = units;
  const half = 7.4 * eyeSize;
  const open = 1 - blink;
  const top = (4.6 * eyeSize + 2.7 * AU5 - 1.5 * AU7 - 1 * AU6 - 0.9 * AU4 * (1 - AU5)) * open;
  const bottom = (3.4 * eyeSize + 0.5 * AU5 - 1.9 * AU7 - 2.6 * AU6) * open + 0.6 * blink;
  const slant = 1.3 * AU1 * AU4; // the inner corner of a sad lid rises
  let svg = "";
  for (const side of [-1, 1]) {
    const at = (x: number, y: number): Point => project(side * (eyeDistance + x), y, 1);
    const inner = at(-half, 1);
    const outer = at(half, 0);
    const upper = [
      at(-half * 0.45, -top * 0.85 - slant),
      at(half * 0.15, -top),
      at(half * 0.65, -top * 0.7 + slant),
    ];
    const lower = [at(half * 0.5, bottom * 0.8), at(0, bottom), at(-half * 0.6, bottom * 0.75 + 0.4)];
    const shape = smoothPath([inner, ...upper, outer, ...lower], true);
    const id = side < 0 ? "eyeL" : "eyeR";
    const [cx, cy] = project(side * eyeDistance + gaze[0] * 2.4, -0.6 + gaze[1] * 1.4, 1);
    const radius = 3.9 * eyeSize;
    svg +=
      `<clipPath id="${id}"><path d="${shape}"/></clipPath><path d="${shape}" fill="rgb(244,240,236)"/>` +
      `<g clip-path="url(#${id})"><circle cx="${n(cx)}" cy="${n(cy)}" r="${n(radius)}" fill="${
        css(iris)
      }"/>` +
      `<circle cx="${n(cx)}" cy="${n(cy)}" r="${n(radius * 0.5)}" fill="rgb(14,10,10)"/>` +
      `<circle cx="${n(cx - 1.2)}" cy="${n(cy - 1.3)}" r=".9" fill="rgba(255,255,255,.9)"/></g>`;
    svg += stroke([inner, ...upper, outer], css(mix(skin, BLACK, 0.85)), 1.5);
    svg += stroke([outer, ...lower, inner], css(mix(skin, BLACK, 0.5), 0.7), 0.7);
    const crease = upper.map(([x, y]) => [x, y - 2.2 - 0.7 * AU5] as const);
    svg += stroke([at(-half * 0.9, -2), ...crease], css(mix(skin, BLACK, 0.45), 0.6 * (1 - AU4 * 0.7)), 0.8);
    if (AU6 > 0.25 || AU7 > 0.4) {
      const bag = Math.max(AU6, 0.6 * AU7);
      const under = [at(half * 0.7, bottom + 2.6), at(0, bottom + 3.4), at(-half * 0.7, bottom + 2.6)];
      svg += stroke(under, css(mix(skin, BLACK, 0.5), 0.6 * bag), 0.9);
    }
    if (AU6 > 0.25) {
      for (const [dy, ey] of [[-1, -4], [1, 1], [3, 5]]) {
        svg += stroke([at(half + 2, dy), at(half + 6, ey)], css(mix(skin, BLACK, 0.5), 0.55 * AU6), 0.8);
      }
    }
  }
  return svg;
}

/** Nose: AU9 wrinkles the bridge and lifts the wings, AU10 lifts them too and deepens the nasolabial folds. */
export function nose(identity: Identity, units: Intensities, project: Project): string {
  const { skin, noseLength, noseWidth, mouthWidth, mouthHeight } = identity;
  const { AU6, AU9, AU10, AU12 } = units;
  const dark = mix(skin, BLACK, 0.45);
  const lift = 2 * AU9 + 1.2 * AU10;
  const w = noseWidth * (1 + 0.16 * (AU9 + AU10 + AU12 * 0.7));
  let svg = stroke(
    [project(-3, -3, 4), project(-3.4, 8, 5), project(-w * 0.8, noseLength - 4 - lift, 3)],
    css(dark, 0.32),
    1.6,
    'filter="url(#soft)"',
  );
  svg += softSpot(project(0, noseLength - 3, 8), [3.4, 3], "shine", 0.2, 1.1);
  for (const side of [-1, 1]) {
    const at = (x: number, y: number, depth = 4) => project(side * x, y, depth);
    const [nx, ny] = at(w * 0.45, noseLength - 0.2 - lift * 0.4, 6);
    svg += `<ellipse cx="${n(nx)}" cy="${n(ny)}" rx="1.7" ry="${n(1 + 0.3 * AU10)}" fill="${
      css(mix(skin, BLACK, 0.75), 0.8)
    }"/>`;
    svg += stroke(
      [
        at(w * 0.8, noseLength - 5 - lift),
        at(w, noseLength - 2 - lift),
        at(w * 0.75, noseLength + 0.6 - lift * 0.5),
      ],
      css(dark, 0.75),
      1.1,
    );
    if (AU9 > 0.2) {
      for (const y of [-2, 1.2, 4.4]) {
        svg += stroke([at(1, y + 1.6, 5), at(4.6, y - 1.2, 3)], css(mix(skin, BLACK, 0.55), 0.75 * AU9), 0.9);
      }
    }
    const fold = Math.max(0.16, 0.85 * AU12, 0.95 * AU10, 0.7 * AU9, 0.5 * AU6);
    const wide = mouthWidth + 3.5 + 3 * AU12;
    const points = [
      at(w + 1.4, noseLength - 4 - lift),
      at((w + wide) / 2 + 1.4, noseLength + 2.5 - lift * 0.4),
      at(wide, mouthHeight - 1 - 2 * AU12),
    ];
    svg += stroke(points, css(mix(skin, BLACK, 0.55), 0.75 * fold), 1.1);
  }
  return svg;
}

/** How the mouth's outline is moved by the units. */
function mouthShape(identity: Identity, units: Intensities) {
  const { AU9, AU10, AU12, AU15, AU20, AU23, AU24, AU25, AU26 } = units;
  const { mouthWidth, mouthHeight, lipThickness, restingCorners } = identity;
  const half = mouthWidth + 4.6 * AU12 + 3.8 * AU20 - 1 * AU15 - 2.2 * AU24 - 1.2 * AU23 - 3.6 * AU26;
  const gap = 2.6 * AU25 + 1.6 * AU25 * AU12 + 12.5 * AU26 * AU25 + 1.4 * AU10 * AU25;
  const thin = 1 - 0.5 * AU23 - 0.62 * AU24;
  const upperLift = 3.6 * AU10 + 1.6 * AU9 + 1 * AU12 * AU25;
  return {
    half,
    gap,
    corner: mouthHeight - 5.4 * AU12 + 5 * AU15 + 2 * AU20 + 3 * restingCorners + gap * 0.22,
    inner: mouthHeight - 0.45 * upperLift - 1.8 * AU15,
    upper: lipThickness * thin + 0.35 * upperLift,
    lower: lipThickness * 1.25 * thin,
    lift: upperLift,
  };
}

/** Mouth: AU10, 12, 15, 20 move its outline, AU23 and 24 press the lips, AU25 parts them, AU26 drops the jaw. */
export function mouth(identity: Identity, units: Intensities, project: Project): string {
  const { lips, skin } = identity;
  const { AU12, AU15, AU23, AU24 } = units;
  const { half, gap, corner, inner, upper, lower, lift } = mouthShape(identity, units);
  const at = (x: number, y: number) => project(x, y, 3);
  const left = at(-half, corner);
  const right = at(half, corner);
  // Parts of the way from the corners to the middle, so that a smile curves and a frown arches.
  const blend = (y: number, share: number) => corner + (y - corner) * share;
  const upperOuter = [
    at(-half * 0.5, blend(inner - upper, 0.86)),
    at(-2, inner - upper - 0.5 - lift * 0.2),
    at(0, inner - upper + 0.2 - lift * 0.2),
    at(2, inner - upper - 0.5 - lift * 0.2),
    at(half * 0.5, blend(inner - upper, 0.86)),
  ];
  const upperInner = [at(half * 0.5, blend(inner, 0.82)), at(0, inner), at(-half * 0.5, blend(inner, 0.82))];
  const floor = inner + gap;
  const lowerInner = [
    at(-half * 0.52, blend(floor, 0.84)),
    at(0, floor),
    at(half * 0.52, blend(floor, 0.84)),
  ];
  const lowerOuter = [
    at(half * 0.5, blend(floor + lower, 0.88)),
    at(0, floor + lower),
    at(-half * 0.5, blend(floor + lower, 0.88)),
  ];
  const cavity = smoothPath(
    [left, ...upperInner.slice().reverse(), right, ...lowerInner.slice().reverse()],
    true,
  );
  let svg = "";
  if (gap > 0.8) {
    svg += `<clipPath id="mouth"><path d="${cavity}"/></clipPath><path d="${cavity}" fill="rgb(52,18,20)"/>`;
    const teeth = Math.min(0.62 * gap + 0.8, 4.4);
    const row = [
      left,
      ...upperInner.slice().reverse(),
      right,
      ...upperInner.map(([x, y]) => [x, y + teeth] as const),
    ];
    svg += `<g clip-path="url(#mouth)"><path d="${smoothPath(row, true)}" fill="rgb(240,236,226)"/>`;
    if (gap > 7) {
      const [tx, ty] = at(0, floor + 0.5);
      svg += `<ellipse cx="${n(tx)}" cy="${n(ty)}" rx="${n(half * 0.55)}" ry="${
        n(gap * 0.3)
      }" fill="rgb(176,82,84)"/>`;
    }
    svg += "</g>";
  }
  const upperLip = smoothPath([left, ...upperOuter, right, ...upperInner], true);
  const lowerLip = smoothPath([left, ...lowerInner, right, ...lowerOuter], true);
  svg += `<path d="${upperLip}" fill="${css(mix(lips, BLACK, 0.16))}"/><path d="${lowerLip}" fill="${
    css(lips)
  }"/>`;
  const seam = css(mix(lips, BLACK, 0.7), gap > 0.8 ? 0.5 : 0.95);
  svg += stroke([left, ...upperInner.slice().reverse(), right], seam, gap > 0.8 ? 0.7 : 1.3);
  const cornerFold = Math.max(AU12, AU15, 0.7 * AU24, 0.5 * AU23);
  for (const side of [-1, 1]) {
    const pull = AU15 > AU12 ? 2.4 : -1.6;
    svg += stroke(
      [at(side * (half + 0.4), corner - 0.6), at(side * (half + 1.8), corner + pull)],
      css(mix(skin, BLACK, 0.6), 0.25 + 0.55 * cornerFold),
      1.1,
    );
  }
  if (AU24 > 0.3 || AU15 > 0.4) {
    const strength = Math.max(AU24, AU15);
    const y = floor + lower + 4;
    svg += stroke([at(-5, y + 1), at(0, y), at(5, y + 1)], css(mix(skin, BLACK, 0.5), 0.6 * strength), 1.1);
  }
  const [lightX, lightY] = at(0, floor + lower * 0.55);
  return svg +
    `<ellipse cx="${n(lightX)}" cy="${n(lightY)}" rx="${n(half * 0.3)}" ry=".7" fill="${css(WHITE, 0.28)}"/>`;
}
