/**
 * From a face's parameters to JPEG bytes: SVG, rasterised and encoded by sharp, with noise and blur between.
 *
 * @module
 */
import sharp from "sharp";
import type { RandomStream } from "../random.ts";
import type { Intensities } from "./expressions.ts";
import { brows, eyes, mouth, nose } from "./features.ts";
import { CANVAS, n, point, type Pose, projector } from "./geometry.ts";
import { backOfHead, css, faceSurface, frontHair, glasses, headDefinitions } from "./head.ts";
import type { Identity, Rgb } from "./identity.ts";

/** Something that covers a part of the face. */
export interface Occluder {
  readonly kind: "hand" | "strand" | "microphone";
  /** place in face coordinates, pixels from between the eyes */
  readonly x: number;
  readonly y: number;
  readonly angle: number;
}

/** What a frame shows, and how the camera saw it. */
export interface Scene {
  readonly identity: Identity;
  readonly intensities: Intensities;
  readonly pose: Pose;
  readonly gaze: readonly [number, number];
  readonly blink: number;
  readonly background: readonly [Rgb, Rgb];
  /** side the light comes from, in [-1, 1] */
  readonly lightX: number;
  /** the camera's gain per channel, around 1 */
  readonly gain: Rgb;
  readonly occluder?: Occluder;
  /** standard deviation of a Gaussian blur in pixels, 0 = none */
  readonly blur: number;
  /** amplitude of the sensor's noise in levels */
  readonly noise: number;
  /** JPEG quality */
  readonly quality: number;
}

function drawOccluder(
  { kind, x, y, angle }: Occluder,
  { skin, hair }: Identity,
  at: readonly [number, number],
): string {
  const nearer = kind === "hand" ? " scale(1.5)" : "";
  const turn = `transform="translate(${point(at)}) rotate(${n(angle)})${nearer}"`;
  if (kind === "microphone") {
    return `<g ${turn}><rect x="-4" y="4" width="8" height="60" rx="3" fill="rgb(40,40,44)"/>` +
      `<circle cx="0" cy="0" r="10" fill="rgb(72,72,78)"/><circle cx="-3" cy="-3" r="3" fill="rgba(255,255,255,.18)"/></g>`;
  }
  if (kind === "strand") {
    return `<g ${turn}><path d="M-6 -34C2 -14 -8 6 4 30L9 28C-1 6 8 -14 2 -34Z" fill="${css(hair)}"/></g>`;
  }
  const finger = (fx: number, length: number) =>
    `<rect x="${fx}" y="${-length}" width="8" height="${length + 10}" rx="4" fill="${
      css(skin)
    }" stroke="rgba(60,30,20,.45)" stroke-width=".8"/>`;
  const side = x + y > 0 ? 1 : -1;
  return `<g ${turn}>${finger(-17, 20)}${finger(-8.5, 25)}${finger(0, 24)}${finger(8.5, 18)}` +
    `<rect x="-18" y="2" width="36" height="46" rx="${10 + side}" fill="${
      css(skin)
    }" stroke="rgba(60,30,20,.35)" stroke-width=".8"/></g>`;
}

/** The frame as SVG text. */
export function drawFace(scene: Scene, size = CANVAS): string {
  const { identity, intensities: units, lightX, background } = scene;
  const project = projector(scene.pose);
  const jaw = 7 * units.AU26;
  const cheeks = Math.max(units.AU6, 0.5 * units.AU12);
  const shade = lightX > 0 ? ["0", "1"] : ["1", "0"];
  const occluder = scene.occluder;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}" viewBox="0 0 ${CANVAS} ${CANVAS}">` +
    `<defs>${headDefinitions(identity, lightX)}` +
    `<linearGradient id="ground" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="${
      css(background[0])
    }"/>` +
    `<stop offset="1" stop-color="${css(background[1])}"/></linearGradient>` +
    `<linearGradient id="light" x1="${shade[0]}" y1="0" x2="${shade[1]}" y2="0">` +
    `<stop offset="0" stop-color="rgba(0,0,0,${
      n(0.42 * Math.abs(lightX))
    })"/><stop offset=".7" stop-color="rgba(0,0,0,0)"/>` +
    `</linearGradient></defs><rect width="112" height="112" fill="url(#ground)"/>` +
    backOfHead(identity, project) + faceSurface(identity, project, jaw, cheeks) +
    nose(identity, units, project) + mouth(identity, units, project) +
    eyes(identity, units, project, scene.gaze, scene.blink) + brows(identity, units, project) +
    frontHair(identity, project) + glasses(identity, project) +
    (occluder ? drawOccluder(occluder, identity, project(occluder.x, occluder.y, 14)) : "") +
    `<rect width="112" height="112" fill="url(#light)"/></svg>`;
}

/** Applies the camera's gain and noise to RGB bytes in place. */
function expose(pixels: Uint8ClampedArray, gain: Rgb, amplitude: number, random: RandomStream): void {
  const scale = amplitude / 127.5;
  for (let i = 0, channel = 0; i < pixels.length; i += 4) {
    const word = random.uint32(); // four values of noise
    for (let k = 0; k < 4; k++) { // a store beyond the end is none
      pixels[i + k] = pixels[i + k] * gain[channel] + ((word >>> (8 * k)) & 255) * scale - amplitude;
      channel = channel === 2 ? 0 : channel + 1;
    }
  }
}

/**
 * Renders a scene to RGB bytes.
 *
 * @param random draws the sensor's noise
 * @returns [size, size, 3]
 */
export async function renderPixels(scene: Scene, size: number, random: RandomStream): Promise<Uint8Array> {
  let image = sharp(new TextEncoder().encode(drawFace(scene, size))).removeAlpha();
  if (scene.blur > 0) image = image.blur(Math.max(0.3, scene.blur * size / CANVAS));
  const data = await image.raw().toBuffer();
  expose(new Uint8ClampedArray(data.buffer, data.byteOffset, data.length), scene.gain, scene.noise, random);
  return new Uint8Array(data.buffer, data.byteOffset, data.length);
}

/** Renders a scene to the bytes of a JPEG. */
export async function renderJpeg(scene: Scene, size: number, random: RandomStream): Promise<Uint8Array> {
  const pixels = await renderPixels(scene, size, random);
  const raw = { width: size, height: size, channels: 3 } as const;
  return new Uint8Array(await sharp(pixels, { raw }).jpeg({ quality: scene.quality }).toBuffer());
}
