/* Bytes and clocks, without a page: cutting the stream into units, and how fast to play it.
 *
 * Owns the little of the MP4 container that the player must know. Functions without state and one small reader.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const MIN_RATE = 0.25;

  /* Cuts a byte stream of MP4 boxes into units that can be appended alone: the init segment (… moov) and fragments (… mdat). */
  class Units {
    constructor() {
      this.held = new Uint8Array(0);
    }
    push(chunk) {
      const joined = join([this.held, chunk]);
      const view = new DataView(joined.buffer);
      const units = [];
      let start = 0;
      let at = 0;
      while (joined.length - at >= 8) {
        let size = view.getUint32(at);
        if (size === 1) {
          if (joined.length - at < 16) break;
          size = Number(view.getBigUint64(at + 8));
        }
        if (size < 8) throw new Error("not an MP4 box");
        if (joined.length - at < size) break;
        const type = String.fromCharCode(...joined.subarray(at + 4, at + 8));
        at += size;
        if (type === "moov" || type === "mdat") {
          units.push({ init: type === "moov", bytes: joined.slice(start, at) });
          start = at;
        }
      }
      this.held = joined.slice(start);
      return units;
    }
  }

  function join(chunks) {
    const joined = new Uint8Array(chunks.reduce((sum, bytes) => sum + bytes.length, 0));
    let at = 0;
    for (const bytes of chunks) {
      joined.set(bytes, at);
      at += bytes.length;
    }
    return joined;
  }

  /* "avc1.64001F" out of the avcC box of an init segment. */
  function codecOf(init) {
    for (let i = 4; i < init.length - 8; i++) {
      if (init[i] === 0x61 && init[i + 1] === 0x76 && init[i + 2] === 0x63 && init[i + 3] === 0x43) {
        const hex = (n) => n.toString(16).padStart(2, "0").toUpperCase();
        return "avc1." + hex(init[i + 5]) + hex(init[i + 6]) + hex(init[i + 7]);
      }
    }
    throw new Error("no avcC box");
  }

  /* From when each fragment arrived (ms): media seconds made per second; the longest silence between two arrivals; time
   * since the last. After a reload much arrives at once, so the server's own figure bounds the speed. */
  function arrivals(times, fps, generationFps) {
    if (times.length < 2) return { speed: 0, gap: 0, since: 0 };
    const now = performance.now();
    let gap = 0;
    for (let i = Math.max(1, times.length - 40); i < times.length; i++) gap = Math.max(gap, times[i] - times[i - 1]);
    const seen = (1000 * (times.length - 1)) / fps / Math.max(1, now - times[0]);
    const told = generationFps === null ? Infinity : generationFps / fps;
    return { speed: Math.min(seen, told), gap: gap / 1000, since: (now - times.at(-1)) / 1000 };
  }

  /* How fast to play so that playback ends with generation and does not run dry on the way. All times in seconds.
   * lead: media buffered ahead; toPlay: media left to play; toMake: media left to make; speed: media made per second
   * (0: not known yet); nextIn: when the next fragments are expected. Answers 0 for "wait". */
  function pace({ lead, toPlay, toMake, speed, nextIn, frame, moving }) {
    if (toMake <= 0) return 1;
    if (speed <= 0) return 0;
    const steady = (speed * toPlay) / toMake;
    const dry = Math.max(0, lead - frame) / Math.max(nextIn, frame);
    const rate = Math.min(1, steady, dry);
    if (rate >= MIN_RATE) return rate;
    return moving && lead > 1.5 * frame ? MIN_RATE : 0;
  }

  Object.assign(wan, { Units, join, codecOf, arrivals, pace });
})();
