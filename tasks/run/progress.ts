/**
 * Progress: a bar with the time left on a terminal, a line now and then elsewhere.
 *
 * @module
 */
import cliProgress from "cli-progress";

/** Progress of one piece of work. */
export interface Progress {
  /** @param note is shown beside the bar */
  update(done: number, note?: string): void;
  /** clears the bar so that a line can be printed; the next update draws it again */
  pause(): void;
  /** ends the bar; later calls do nothing */
  finish(): void;
}

/** Milliseconds between two lines where there is no terminal. */
const LINE_INTERVAL = 5000;
const FALLBACK_COLUMNS = 80;

/** Shows progress on standard error. */
export function createProgress(label: string, total: number): Progress {
  return Deno.stderr.isTerminal() ? new Bar(label, total) : new Lines(label, total, console.error);
}

function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** The time left at the mean speed so far. */
function timeLeft(startedAt: number, done: number, total: number): string {
  if (done === 0) return "?";
  return duration((performance.now() - startedAt) / 1000 * (total - done) / done);
}

class Bar implements Progress {
  readonly #total: number;
  readonly #label: string;
  readonly #startedAt = performance.now();
  #bar: cliProgress.SingleBar | undefined;
  #finished = false;

  constructor(label: string, total: number) {
    this.#label = label;
    this.#total = total;
  }

  update(done: number, note = ""): void {
    if (this.#finished) return;
    const payload = { note, left: timeLeft(this.#startedAt, done, this.#total) };
    if (this.#bar === undefined) {
      this.#bar = this.#create();
      this.#bar.start(this.#total, done, payload);
    } else {
      this.#bar.update(done, payload);
    }
  }

  pause(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  finish(): void {
    this.pause();
    this.#finished = true;
  }

  #create(): cliProgress.SingleBar {
    let columns = FALLBACK_COLUMNS;
    try {
      columns = Deno.consoleSize().columns || FALLBACK_COLUMNS;
    } catch {
      // no console on standard output; the bar goes to standard error
    }
    return new cliProgress.SingleBar({
      format: `${this.#label} {bar} {value}/{total} | {left} left | {note}`,
      barsize: Math.max(10, Math.min(30, columns - 60)),
      hideCursor: false,
      clearOnComplete: true,
      etaBuffer: 50,
      linewrap: null,
    }, cliProgress.Presets.shades_classic);
  }
}

/** Lines where there is no terminal: the first, the last, and one every few seconds. */
export class Lines implements Progress {
  readonly #label: string;
  readonly #total: number;
  readonly #print: (line: string) => void;
  readonly #startedAt = performance.now();
  #printedAt = -Infinity;
  #printed = -1;
  #finished = false;

  /** @param print gets each line */
  constructor(label: string, total: number, print: (line: string) => void) {
    this.#label = label;
    this.#total = total;
    this.#print = print;
  }

  update(done: number, note?: string): void {
    const now = performance.now();
    const last = done >= this.#total;
    if (this.#finished || done === this.#printed || (!last && now - this.#printedAt < LINE_INTERVAL)) return;
    this.#printedAt = now;
    this.#printed = done;
    const left = last
      ? `${duration((now - this.#startedAt) / 1000)} in all`
      : `${timeLeft(this.#startedAt, done, this.#total)} left`;
    this.#print([`${this.#label} ${done}/${this.#total}`, left, ...(note ? [note] : [])].join(", "));
  }

  pause(): void {}

  finish(): void {
    this.#finished = true;
  }
}
