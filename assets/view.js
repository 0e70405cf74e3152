/* Everything that is drawn around the picture: status bar, progress, errors, clips, memory, the ready mark.
 *
 * Owns no state: draws `wan.job` and `wan.status`, whenever it is told that they changed.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { $, el, button, t, own, parts, job, setup } = wan;
  const seconds = (ms) => (ms == null ? "–" : ms < 9950 ? `${(ms / 1000).toFixed(2)} s` : `${Math.round(ms / 1000)} s`);
  const { bytes } = wan;
  const setText = (node, text) => node.textContent !== text && (node.textContent = text); // read aloud at changes only

  Object.assign(wan.mount, {
    topbar(root, trigger) {
      const [language, theme] = [$(".wan-language", root), $(".wan-theme", root)];
      parts.chips = $(".wan-chips", root);
      language.onclick = () => trigger("click");
      theme.onclick = wan.switchTheme;
      wan.mountMachine($(".wan-machine", root));
      wan.part(() => {
        $(".wan-brand-name", root).textContent = t("brand");
        $(".wan-brand-line", root).textContent = t("tagline");
        language.textContent = t("switch_language");
        language.title = t("switch_language_tip");
        theme.title = t("switch_theme");
        theme.setAttribute("aria-label", t("switch_theme"));
        for (const name of ["generate", "reveal"]) $(`#wan-${name}`)?.setAttribute("title", t(`${name}_tip`));
        drawChips();
      });
    },
    player(root) {
      for (const name of ["player", "screen", "veil", "bar", "figures", "state", "clips", "download", "copy", "error", "alarm"]) {
        parts[name] = $(`.wan-${name}`, root);
      }
      parts.copy.onclick = copyLink;
      wan.part(wan.drawJob);
      wan.part(drawError);
      wan.restore();
    },
    memory(root) {
      parts.canvas = $("canvas", root);
      parts.memory = $(".wan-memory-text", root);
      wan.part(drawMemory);
      pastMemory();
    },
    corner(root) {
      parts.ready = $(".wan-ready", root);
      parts.log = $(".wan-log", root);
      wan.mountDebug(root);
      wan.part(drawReady);
      wan.watch();
    },
  });

  wan.drawStatus = () => {
    if (wan.status && !wan.offline) addReading(wan.status.memory);
    drawChips();
    drawReady();
    drawMemory();
    wan.drawNotes();
    if (job.state && job.state.state === "queued") wan.drawJob();
    for (const follow of wan.statusFollowers) follow();
  };

  /* ---- errors ---- */
  let shown = null;
  wan.showError = (error) => {
    shown = error;
    drawError();
  };
  /* An error's sentence; a person knows a control's label, not the field's name that it begins with. */
  wan.told = (error) => {
    if (error.key) return t(error.key, error.values);
    const key = { num_inference_steps: "steps", width: "size", height: "size" }[error.field] || error.field;
    const sentence = own(error, "message");
    return key in setup.texts.en ? sentence.replace(error.field, t(key)) : sentence;
  };
  function drawError() {
    for (const marked of document.querySelectorAll(".wan-field-error")) marked.classList.remove("wan-field-error");
    parts.error.hidden = !shown;
    if (!shown) return;
    const close = button("wan-close", "×", () => wan.showError(null));
    close.setAttribute("aria-label", t("close"));
    parts.error.replaceChildren(el("span", "", wan.told(shown)), close);
    const id = setup.fields[shown.field];
    // A control of the closed section is not in the page yet.
    if (id && !document.getElementById(id)) $("#wan-advanced > button").click();
    const error = shown;
    setTimeout(() => error === shown && document.getElementById(id)?.classList.add("wan-field-error"), 150);
    parts.error.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
  let toastTimer = 0;
  wan.toast = (sentence) => {
    const box = $(".wan-toast") || document.body.appendChild(el("div", "wan-toast"));
    box.setAttribute("role", "status");
    box.textContent = sentence;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => (box.textContent = ""), 2500);
  };

  /* ---- status ---- */
  let drawnChips = "";
  function drawChips() {
    if (!wan.status || !parts.chips) return;
    const { trt, backend, model, encoder, queue_length: queue } = wan.status;
    const facts = [
      [t(trt.on ? "trt_on" : "trt_off"), own(trt, "reason")],
      [t("backend"), backend],
      [t("model"), model],
      [t("encoder"), encoder],
      [t("queue"), queue ? String(queue) : t("queue_empty")],
    ];
    if (JSON.stringify(facts) === drawnChips) return;
    drawnChips = JSON.stringify(facts);
    const chips = facts.map(([label, value], i) => {
      const chip = el("span", i === 0 && trt.on ? "wan-chip wan-on" : "wan-chip");
      chip.append(el("b", "", label), el("span", "", value));
      chip.title = value;
      chip.hidden = i > 0 && !value;
      return chip;
    });
    parts.chips.replaceChildren(...chips);
  }

  function drawReady() {
    const stage = wan.offline ? "offline" : wan.status ? wan.status.stage : "starting";
    parts.ready.dataset.stage = stage;
    setText(parts.ready, wan.offline ? t("not_reachable") : stage === "ready" ? t("ready") : wan.status ? own(wan.status, "stage") : "…");
  }

  /* ---- the job ---- */
  function sentence() {
    const { state } = job;
    if (job.notice) return t(job.notice);
    if (!state) return "";
    if (wan.hasEnded(state) && !state.frames) return t(`empty_${state.state}`);
    if (state.state !== "queued") return t(`state_${state.state}`);
    return wan.status && !wan.status.ready ? t("state_waiting_model") : t("state_queued", { n: state.queue_position });
  }

  let failedShown = null;
  wan.drawJob = () => {
    const { state, session } = job;
    const ended = !!state && wan.hasEnded(state);
    parts.player.dataset.state = state ? state.state : "idle";
    const cancel = $("#wan-cancel");
    if (cancel) cancel.disabled = !job.clips.some((id) => job.states[id] && !wan.hasEnded(job.states[id]));
    if (state) parts.player.style.setProperty("--wan-aspect", `${state.width} / ${state.height}`);
    parts.veil.hidden = !!session && (session.marks.painted !== undefined || !session.poster.hidden);
    if (!parts.veil.hidden) drawVeil(state, ended);
    parts.bar.hidden = !state;
    if (state) {
      $("i", parts.bar).style.width = `${(100 * state.frames) / state.num_frames}%`;
      parts.bar.setAttribute("aria-valuenow", state.frames);
      parts.bar.setAttribute("aria-valuemax", state.num_frames);
      parts.bar.setAttribute("aria-label", t("frames"));
    }
    setText(parts.state, sentence());
    drawFigures(state, session, ended);
    drawLinks(state);
    drawClips();
    for (const follow of wan.followers) follow();
    // An interruption is told where the state stands: nobody did anything wrong.
    if (state && state.error && state.state !== "interrupted" && failedShown !== state.id) {
      failedShown = state.id;
      wan.showError(state.error);
    }
  };

  function drawVeil(state, ended) {
    const lines = [el("strong", "", state || job.notice ? sentence() : t("idle_title"))];
    if (!state && !job.notice) lines.push(el("span", "", t("idle_text")));
    const still = !state && setup.examples[0].picture;
    parts.veil.style.backgroundImage = still ? `linear-gradient(#0b0c0ecc, #0b0c0ecc), url(${wan.url(`stills/${still}`)})` : "";
    if (state && !ended) {
      lines.unshift(el("i", "wan-spinner"));
      if (!window.MediaSource && !window.ManagedMediaSource) lines.push(el("span", "", t("unsupported")));
    }
    parts.veil.replaceChildren(...lines);
  }

  function drawFigures(state, session, ended) {
    if (!state) return parts.figures.replaceChildren();
    const figures = [];
    const entry = (label, value) => {
      const node = el("span", "wan-figure");
      node.append(el("b", "", label), el("span", "", value));
      figures.push(node);
    };
    const figure = (label, value) => entry(t(label), value);
    const { marks } = session;
    figure(state.kept_frames ? "first_new" : "first_frame", seconds(state.first_frame_ms));
    if (marks.painted && session.fragments) figure("painted", seconds(marks.painted - marks.click));
    if (state.generation_fps) {
      const rate = session.video.playbackRate.toFixed(2);
      const play = session.moved && !ended ? ` · ${t("playback", { fps: state.fps, rate })}` : "";
      figure("speed", `${state.generation_fps.toFixed(1)} fps${play}`);
    }
    figure("frames", `${state.frames} / ${state.num_frames}`);
    if (!ended && state.num_blocks) {
      figure("block", `${state.block + 1} / ${state.num_blocks}`);
      figure("step", `${state.step} / ${state.num_steps}`);
      if (state.eta_ms != null) figure("eta", seconds(state.eta_ms));
    }
    figure("seed_used", String(state.seed));
    for (const { frame, prompt } of state.request.prompt_changes) entry(t("change_from", { frame }), prompt);
    parts.figures.replaceChildren(...figures);
  }

  function drawLinks(state) {
    const some = !!state && state.frames > 0;
    setText(parts.download, t(state && state.state === "done" ? "download" : "download_partial"));
    parts.download.setAttribute("aria-disabled", String(!some));
    if (some) parts.download.href = wan.url(`jobs/${job.id}/video.mp4?download=1`);
    else parts.download.removeAttribute("href");
    setText(parts.copy, t("copy_link"));
    parts.copy.hidden = !state;
  }
  async function copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      wan.toast(t("copied"));
    } catch {
      prompt(t("copy_link"), location.href); // no clipboard on an insecure origin
    }
  }

  function drawClips() {
    const { clips } = job;
    parts.clips.hidden = clips.length < 2;
    if (parts.clips.hidden) return;
    if (parts.clips.dataset.of !== clips.join()) {
      parts.clips.dataset.of = clips.join();
      const tiles = clips.map((id) => {
        const tile = button("wan-clip", "", () => id !== job.id && wan.show(id, 0, job.streaming));
        tile.append(el("img"), el("span"));
        return tile;
      });
      parts.clips.replaceChildren(...tiles);
    }
    clips.forEach((id, i) => {
      const tile = parts.clips.children[i];
      const [image, name] = tile.children;
      const state = job.states[id];
      tile.setAttribute("aria-pressed", String(id === job.id));
      setText(name, t("clip", { n: i + 1 }) + (state ? ` · ${state.frames}/${state.num_frames}` : ""));
      if (state && state.frames > 0 && !image.src) image.src = wan.url(`jobs/${id}/first.jpg`);
      image.alt = "";
    });
  }

  /* ---- memory: two minutes at 2 Hz ---- */
  const POINTS = 240;
  const readings = [];
  let peak = 0;
  function addReading({ used_bytes: used }) {
    peak = Math.max(peak, used);
    if (readings.push(used) > POINTS) readings.shift();
  }
  /* What was before this page was opened, so that the chart is not empty. */
  async function pastMemory() {
    try {
      const { names, samples } = await (await fetch(wan.url("memory"))).json();
      while (!wan.status) await wan.sleep(100);
      const at = names.indexOf(wan.status.memory.source === "nvml" ? "device" : "process");
      readings.unshift(...samples.slice(readings.length - POINTS).map((sample) => sample[at]));
      peak = Math.max(peak, ...readings);
    } catch (error) {
      wan.log(`memory: ${error.message}`);
    }
  }
  function drawMemory() {
    const { canvas } = parts;
    if (!wan.status || !canvas) return; // parts are mounted in no fixed order
    const { memory } = wan.status;
    const label = t(memory.source === "nvml" ? "memory_gpu" : "memory_process");
    const text = `${label} ${bytes(memory.used_bytes)} / ${bytes(memory.total_bytes)} · ${t("memory_peak")} ${bytes(peak)}`;
    setText(parts.memory, text);
    canvas.setAttribute("aria-label", text);
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const style = getComputedStyle(canvas);
    const pen = canvas.getContext("2d");
    const x = (i) => width - ((readings.length - 1 - i) * width) / (POINTS - 1);
    const y = (used) => height - 2 - ((height - 4) * used) / (1.15 * peak);
    const line = new Path2D();
    readings.forEach((used, i) => line.lineTo(x(i), y(used)));
    const area = new Path2D(line);
    area.lineTo(width, height);
    area.lineTo(x(0), height);
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = style.getPropertyValue("--wan-area");
    pen.fill(area);
    pen.strokeStyle = style.getPropertyValue("--wan-line");
    pen.lineWidth = 1.5 * ratio;
    pen.stroke(line);
  }
})();
