/* Plays one job while it is being made.
 *
 * Owns: reading the job's append-only stream from an offset, feeding MediaSource with whole fragments, resuming after a
 * drop, keeping the pace, and the change to the finished, seekable file. Knows nothing of the page around it:
 * it is given an element for the picture and reports through `report(name, details)`.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { sleep } = wan;
  const ENDED = new Set(["done", "cancelled", "failed", "interrupted"]);
  wan.hasEnded = (state) => ENDED.has(state.state);
  wan.url = (path) => new URL("gradio_api/wan/" + path, document.baseURI).href;

  class Session {
    /* One job on one picture. `screen` holds the video elements; `position` is where to start, in seconds. */
    constructor(screen, id, { position = 0, report }) {
      this.screen = screen;
      this.id = id;
      this.report = report;
      this.position = position;
      this.offset = 0; // bytes of whole units taken from the stream
      this.fragments = 0;
      this.times = []; // arrival of each fragment, ms
      this.queue = [];
      this.state = null;
      this.complete = false; // every byte has arrived
      this.closed = false;
      this.holding = true; // paused by the pace, not by the person
      this.personPaused = false;
      this.reopened = 0; // pictures of this job that broke before this one
      this.stats = { painted: new Set(), presented: 0, stalls: 0, holds: 0, reconnects: 0, bytes: 0 };
      this.marks = {};
      this.abort = new AbortController();
      this.video = this.makeVideo();
      this.poster = document.createElement("img");
      this.poster.className = "wan-poster";
      this.poster.alt = "";
      this.poster.hidden = true;
    }

    makeVideo() {
      const video = document.createElement("video");
      video.className = "wan-video";
      video.playsInline = true;
      video.muted = true;
      video.controls = true;
      video.preload = "auto";
      return video;
    }

    mark(name, time = performance.now()) {
      if (this.marks[name] === undefined) {
        this.marks[name] = time;
        this.report("mark", { name, time });
      }
    }

    /* Put this session's picture on the screen, in place of whatever was there. */
    present() {
      this.screen.replaceChildren(this.video, this.poster);
      this.poster.hidden = !this.poster.src || this.position > 0 || this.marks.painted !== undefined;
    }

    /* Open MediaSource and the stream, now: called in the tick of the click. `accepted` settles when the job exists. */
    stream(accepted) {
      const Source = window.ManagedMediaSource || window.MediaSource;
      if (!Source) return false;
      this.source = new Source();
      if (window.ManagedMediaSource) {
        this.video.disableRemotePlayback = true;
        this.video.srcObject = this.source;
        if (this.position > 0) this.video.style.visibility = "hidden"; // until the seek: see `seekHidden`
      } else {
        this.objectUrl = URL.createObjectURL(this.source);
        this.video.src = this.objectUrl;
      }
      this.source.addEventListener("sourceopen", () => this.feed(), { once: true });
      this.source.addEventListener("sourceclose", () => this.breakOff("MediaSource closed"));
      this.video.addEventListener("loadeddata", () => this.feed(), { once: true });
      this.watchVideo();
      this.pacer = setInterval(() => this.keepPace(), 100);
      this.pump(accepted);
      return true;
    }

    watchVideo() {
      const { video, stats } = this;
      video.addEventListener("waiting", () => {
        if (this.moved && !video.seeking && !this.complete) {
          stats.stalls += 1;
          this.report("stall", { at: video.currentTime });
        }
      });
      video.addEventListener("pause", () => {
        if (!this.holding && !video.ended) this.personPaused = true;
      });
      video.addEventListener("play", () => {
        this.personPaused = false;
      });
      video.addEventListener("error", () => {
        if (video.error) this.breakOff(video.error.message || String(video.error.code));
      });
      for (const event of ["ended", "pause"]) video.addEventListener(event, () => this.maybeSwap());
      if (video.requestVideoFrameCallback) {
        const onFrame = (_, frame) => {
          video.requestVideoFrameCallback(onFrame);
          if (frame.mediaTime < this.position - 0.5 * (this.frameSeconds || 0)) return; // of before a seek
          stats.presented = frame.presentedFrames;
          if (this.frameSeconds) stats.painted.add(Math.round(frame.mediaTime / this.frameSeconds));
          this.onPainted(frame.presentationTime);
        };
        video.requestVideoFrameCallback(onFrame);
      } else {
        video.addEventListener("timeupdate", () => video.readyState >= 2 && this.onPainted(performance.now()));
      }
    }

    /* The browser gave the stream's picture up, and will take no more bytes for it. */
    breakOff(reason) {
      if (this.closed || this.swapped || this.broken) return;
      this.broken = { reason, at: this.position || this.video.currentTime };
      this.report("broken", this.broken);
    }

    onPainted(time) {
      this.mark("painted", time);
      this.poster.hidden = true;
      this.video.style.visibility = "";
    }

    /* Read the stream until the job has ended and every byte is here, whatever the network does. */
    async pump(accepted) {
      let wait = 250;
      while (!this.closed) {
        const before = this.offset;
        this.request = new AbortController();
        this.lastByte = performance.now();
        this.abort.signal.addEventListener("abort", () => this.request.abort(), { once: true });
        try {
          const answer = await fetch(wan.url(`jobs/${this.id}/stream?offset=${this.offset}`), {
            signal: this.request.signal,
            cache: "no-store",
          });
          if (answer.status === 202) {
            await accepted;
            await sleep(this.state && this.state.queue_position > 0 ? 500 : 60);
            continue;
          }
          if (answer.status === 404 && (await accepted) && !this.known) {
            this.known = true; // the stream was asked for before the job was there: ask once more
            continue;
          }
          if (answer.status === 404) {
            this.report("gone", {});
            return;
          }
          if (answer.status === 200) await this.drain(answer.body.getReader());
          else if (answer.status !== 416) throw new Error(`HTTP ${answer.status}`);
          const state = await this.refresh();
          if (ENDED.has(state.state) && this.offset >= state.bytes) return this.finish();
        } catch (error) {
          if (this.closed) return;
          this.report("log", { text: `stream: ${error.message || error}` });
        }
        if (this.offset > before) wait = 250;
        this.stats.reconnects += 1;
        this.report("reconnecting", { wait });
        await sleep(wait);
        wait = Math.min(2 * wait, 4000);
      }
    }

    async drain(reader) {
      const units = new wan.Units();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || this.closed) return;
        this.lastByte = performance.now();
        this.stats.bytes += value.length;
        this.report("flowing", {});
        for (const unit of units.push(value)) {
          this.offset += unit.bytes.length;
          this.take(unit);
        }
        this.feed();
      }
    }

    async refresh() {
      const answer = await fetch(wan.url(`jobs/${this.id}`), { signal: this.abort.signal, cache: "no-store" });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      const state = await answer.json();
      this.observe(state);
      this.report("state", state);
      return state;
    }

    /* What the server knows, told by the page's poll or by this session's own question. */
    observe(state) {
      this.state = state;
      this.frameSeconds = 1 / state.fps;
      this.duration = state.num_frames / state.fps;
      // A connection that is open but dead: the server has more and nothing comes.
      const silent = this.request && performance.now() - this.lastByte > 3000;
      if (!this.complete && state.bytes > this.offset && silent) this.request.abort();
      this.maybeSwap();
    }

    take(unit) {
      if (unit.init) {
        this.codec = wan.codecOf(unit.bytes);
        this.mark("init");
        this.poster.src = wan.url(`jobs/${this.id}/first.jpg`);
        this.poster.hidden = this.position > 0 || this.marks.painted !== undefined;
        const seen = () => requestAnimationFrame(() => !this.poster.hidden && this.mark("poster"));
        this.poster.decode().then(seen, () => {}); // ended without a frame
      } else {
        this.fragments += 1;
        this.times.push(performance.now());
        this.mark("first_fragment");
      }
      this.queue.push(unit.bytes);
    }

    /* Hand what has arrived to the source buffer; whole units only, many at a time. */
    feed() {
      if (this.closed || this.video.error || !this.source || this.source.readyState === "closed") return;
      if (!this.buffer) {
        if (!this.codec) return;
        const mime = `video/mp4; codecs="${this.codec}"`;
        try {
          this.buffer = this.source.addSourceBuffer(mime);
        } catch (error) {
          this.report("error", { reason: `${mime}: ${error.message}` });
          return;
        }
        this.buffer.addEventListener("updateend", () => this.feed());
        if (this.position > 0 && !window.ManagedMediaSource) return this.seekFirst();
      }
      if (this.buffer.updating || this.held) return;
      if (this.queue.length) {
        this.buffer.appendBuffer(wan.join(this.queue.splice(0)));
        return;
      }
      if (this.duration && this.source.readyState === "open" && !(this.source.duration >= this.duration) && !this.complete) {
        this.source.duration = this.duration; // the scrubber shows the whole clip from the start
      }
      if (this.complete && this.source.readyState === "open") this.source.endOfStream();
      if (this.position > 0) this.seekHidden();
      this.keepPace();
    }

    /* Give the init segment alone and seek before there is any frame, so that none from before the position is shown.
     * The duration comes first: a seek does not go beyond it. */
    seekFirst() {
      this.held = true;
      const seek = () => {
        if (!this.held || this.closed || this.video.readyState < 1) return;
        if (this.buffer.updating || this.source.readyState !== "open") return;
        this.held = false;
        this.source.duration = this.duration;
        this.video.currentTime = this.position;
        this.position = 0;
        this.feed();
      };
      this.video.addEventListener("loadedmetadata", seek, { once: true });
      this.buffer.addEventListener("updateend", seek, { once: true });
      this.buffer.appendBuffer(this.queue.shift());
    }

    /* WebKit refuses bytes while it seeks into nothing: there the frames come first, unseen, and then the seek. It must also
     * have decoded one, or the seek may meet a pipeline that is still being put together: "Failed to push buffer". */
    seekHidden() {
      const { video } = this;
      if (video.seeking || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || this.bufferedEnd() <= this.position) return;
      video.addEventListener(
        "seeked",
        () => {
          this.position = 0;
          this.keepPace();
        },
        { once: true },
      );
      video.currentTime = this.position;
    }

    finish() {
      this.complete = true;
      this.report("complete", { fragments: this.fragments, bytes: this.offset });
      this.feed();
      this.maybeSwap();
    }

    bufferedEnd() {
      const { buffered } = this.video;
      return buffered.length ? buffered.end(buffered.length - 1) : 0;
    }

    keepPace() {
      const { video } = this;
      if (this.closed || this.swapped || !this.frameSeconds || !video.buffered.length || video.seeking) return;
      if (this.personPaused || video.ended || this.position > 0) return;
      const { speed, gap, since } = wan.arrivals(this.times, this.state.fps, this.state.generation_fps);
      const end = this.bufferedEnd();
      const wanted = wan.pace({
        lead: end - video.currentTime,
        toPlay: this.duration - video.currentTime,
        toMake: this.complete ? 0 : this.duration - end,
        speed,
        nextIn: Math.max(0.1, 1.2 * gap - since),
        frame: this.frameSeconds,
        moving: !this.holding,
      });
      if (wanted === 0) {
        if (!this.holding) {
          this.holding = true;
          this.stats.holds += 1;
          this.report("hold", { at: video.currentTime });
        }
        if (!video.paused) video.pause();
        return;
      }
      // Up by small steps, down at once: a change of speed should not be seen.
      const rate = wanted > video.playbackRate && !this.holding ? video.playbackRate + 0.3 * (wanted - video.playbackRate) : wanted;
      video.playbackRate = wanted === 1 && rate > 0.97 ? 1 : rate;
      if (this.holding || video.paused) {
        this.holding = false;
        this.moved = true;
        video.play().catch((error) => this.report("log", { text: `play: ${error.message}` }));
      }
    }

    /* Once the job is done and playback rests, put the finished file in place, at the same moment of the clip. */
    maybeSwap() {
      const resting = this.video.ended || this.personPaused;
      if (this.swapped || this.closed || !this.complete || !resting || !this.state || this.state.state !== "done") return;
      this.swapped = true;
      const { currentTime, ended } = this.video;
      this.openFile(ended ? Math.max(0, this.duration - this.frameSeconds / 2) : currentTime, () => {
        const old = this.video;
        old.pause();
        this.video = this.file;
        old.replaceWith(this.file);
        this.release(old);
        this.report("swapped", { at: this.file.currentTime });
      });
    }

    openFile(position, ready) {
      this.file = this.makeVideo();
      this.file.src = wan.url(`jobs/${this.id}/video.mp4`);
      this.file.addEventListener("loadedmetadata", () => (this.file.currentTime = position), { once: true });
      this.file.addEventListener("seeked", () => !this.closed && ready(), { once: true });
      this.file.addEventListener("error", () => {
        if (!this.closed && this.file.error) this.report("error", { reason: this.file.error.message });
      });
      this.file.load();
    }

    /* Show the finished file, for a job that had ended before the page knew it, without streaming, or whose stream broke. */
    playFile(position, playing = position === 0) {
      this.swapped = this.complete = true;
      this.openFile(position, () => {
        this.video = this.file;
        this.present();
        this.mark("painted");
        this.report("swapped", { at: position });
        if (playing) this.video.play().catch(() => this.report("log", { text: "autoplay refused" }));
      });
    }

    release(video) {
      clearInterval(this.pacer);
      video.removeAttribute("src");
      video.srcObject = null;
      video.load();
      if (this.objectUrl) URL.revokeObjectURL(this.objectUrl);
      this.objectUrl = null;
    }

    close() {
      this.closed = true;
      this.abort.abort();
      if (!this.swapped) this.release(this.video);
      else this.video.pause();
    }
  }

  wan.Session = Session;
})();
