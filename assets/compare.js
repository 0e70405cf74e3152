/* Two videos side by side, in step: one clock, one scrubber, and the settings in which they differ.
 *
 * Owns the dialog and the clock. It is given two states of ended jobs and knows no list of them.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { $, el, button, t } = wan;
  const DRIFT_S = 0.12; // beyond it a video is put right; below it, its speed is

  /* A setting's label and its value, by field of the request. */
  function rows({ request, num_frames: frames, fps }) {
    const own = (value) => (value == null ? t("compare_default") : String(value));
    const changes = request.prompt_changes.map(({ frame, prompt }) => `${(frame / fps).toFixed(1)} s ${prompt}`);
    return {
      prompt: request.prompt,
      "compare_changes": changes.join("\n") || t("compare_none"),
      negative_prompt: request.negative_prompt || t("compare_none"),
      style: request.style || t("compare_none"),
      size: `${request.width}×${request.height}`,
      "compare_length": `${frames / fps} s`,
      fps: String(fps),
      guidance_scale: own(request.guidance_scale),
      steps: own(request.num_inference_steps),
      denoise_strength: String(request.denoise_strength),
      seed: String(request.seed),
    };
  }

  function table(states) {
    const told = states.map(rows);
    const differ = Object.keys(told[0]).filter((key) => told[0][key] !== told[1][key]);
    const body = el("tbody");
    for (const key of [...differ, ...Object.keys(told[0]).filter((key) => !differ.includes(key))]) {
      const row = el("tr", differ.includes(key) ? "wan-differs" : "");
      const name = el("th", "", t(key));
      name.scope = "row";
      row.append(name, ...told.map((one) => el(differ.includes(key) ? "mark" : "span", "", one[key])).map(cell));
      body.append(row);
    }
    const head = el("thead");
    const names = el("tr");
    names.append(...[t("compare_setting"), "A", "B"].map((name) => Object.assign(el("th", "", name), { scope: "col" })));
    head.append(names);
    const made = el("table", "wan-settings");
    if (!differ.length) made.append(el("caption", "", t("compare_same")));
    made.append(head, body);
    return made;
  }
  function cell(content) {
    const made = el("td");
    made.append(content);
    return made;
  }

  wan.compare = (...states) => {
    const dialog = el("dialog", "wan-compare");
    dialog.setAttribute("aria-label", t("compare_title"));
    const videos = states.map((state) => {
      const video = el("video");
      Object.assign(video, { muted: true, playsInline: true, preload: "auto", src: wan.url(`jobs/${state.id}/video.mp4`) });
      video.poster = wan.url(`jobs/${state.id}/first.jpg`);
      video.style.aspectRatio = `${state.width} / ${state.height}`;
      return video;
    });
    const lengths = states.map((state) => state.frames / state.fps);
    const length = Math.max(...lengths);
    const frame = 1 / Math.max(...states.map((state) => state.fps));
    const pair = el("div", "wan-pair");
    states.forEach((state, i) => {
      const figure = el("figure");
      const caption = el("figcaption");
      caption.append(el("b", "", "AB"[i]), el("span", "", state.request.prompt));
      figure.append(videos[i], caption);
      pair.append(figure);
    });

    /* The clock: `at` seconds at the moment `since`; a video that has nothing to show holds it for both. */
    let at = 0;
    let since = 0;
    let playing = false;
    const now = () => (playing ? Math.min(length, at + (performance.now() - since) / 1000) : at);
    const last = (i) => Math.max(0, lengths[i] - frame / 2);
    const set = (position) => {
      at = Math.min(length, Math.max(0, position));
      since = performance.now();
    };
    const put = () => videos.forEach((video, i) => (video.currentTime = Math.min(at, last(i))));

    const toggle = button("wan-button wan-compare-play", t("compare_play"), () => play(!playing));
    const scrubber = Object.assign(el("input"), { type: "range", min: 0, max: length, step: frame, value: 0 });
    scrubber.setAttribute("aria-label", t("compare_position"));
    const clock = el("output");
    const show = () => {
      scrubber.value = now();
      clock.textContent = `${now().toFixed(2)} / ${length.toFixed(2)} s`;
      scrubber.setAttribute("aria-valuetext", clock.textContent);
    };
    function play(wanted) {
      if (wanted && at >= length - frame) {
        set(0);
        put();
      } else set(now());
      playing = wanted;
      toggle.textContent = t(playing ? "compare_pause" : "compare_play");
      for (const video of videos) {
        if (!playing) video.pause();
        video.playbackRate = 1;
      }
      if (!playing) put();
      else requestAnimationFrame(tick);
      show();
    }
    function tick() {
      if (!playing || !dialog.open) return;
      if (videos.some((video) => video.seeking || video.readyState < 3) && !videos.some((video) => video.error)) {
        set(at); // wait: time starts again when both have something to show
        for (const video of videos) video.pause();
      } else {
        videos.forEach((video, i) => {
          const drift = video.currentTime - Math.min(now(), last(i));
          if (now() >= last(i)) video.pause();
          else if (video.paused) video.play().catch((error) => wan.log(`compare: ${error.message}`));
          if (Math.abs(drift) > DRIFT_S) video.currentTime = Math.min(now(), last(i));
          else video.playbackRate = Math.min(1.1, Math.max(0.9, 1 - drift));
        });
        set(now());
      }
      show();
      if (at >= length) return play(false);
      requestAnimationFrame(tick);
    }
    const move = (position) => {
      if (playing) play(false);
      set(position);
      put();
      show();
    };
    scrubber.oninput = () => move(Number(scrubber.value));
    dialog.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -frame, ArrowRight: frame };
      if (event.target === scrubber && event.key !== " ") return;
      if (event.key === " " && event.target.tagName !== "BUTTON") play(!playing);
      else if (event.key in steps) move(now() + steps[event.key]);
      else return;
      event.preventDefault();
    });

    const close = button("wan-close", "×", () => dialog.close());
    close.setAttribute("aria-label", t("close"));
    const head = el("div", "wan-compare-head");
    head.append(el("h2", "", t("compare_title")), close);
    const bar = el("div", "wan-compare-bar");
    bar.append(toggle, scrubber, clock);
    dialog.append(head, pair, bar, table(states));
    dialog.addEventListener("close", () => {
      playing = false;
      for (const video of videos) {
        video.removeAttribute("src");
        video.load();
      }
      dialog.remove();
    });
    $(".gradio-container .contain").append(dialog); // whose style loader gives its rules to what is inside alone
    show();
    dialog.showModal();
    toggle.focus();
    return dialog;
  };
})();
