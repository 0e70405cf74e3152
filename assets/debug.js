/* The debug page (?debug=1): the whole memory curve and the server's own events of the job on the screen.
 *
 * Owns both drawings, and asks for nothing on any other page. Curves: this process, the device, what PyTorch's
 * allocator has given out and what it holds, as far as there are such things here.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { $, el, t, parts, job } = wan;
  const COLOURS = { process: "#0d9488", device: "#6366f1", allocated: "#d97706", reserved: "#db2777" };
  const KEPT = 2400; // samples: twenty minutes
  let names = [];
  let next = 0;
  const samples = [];

  async function follow() {
    for (;;) {
      try {
        const told = await (await fetch(wan.url(`memory?since=${next}`), { cache: "no-store" })).json();
        ({ names, next } = told);
        samples.push(...told.samples);
        samples.splice(0, samples.length - KEPT);
        draw(told.interval_ms);
        if (job.id) await events(job.id);
      } catch (error) {
        wan.log(`debug: ${error.message}`);
      }
      do await wan.sleep(1000);
      while (document.hidden);
    }
  }

  /* The server's lines of a job go into the log once, with the server's clock. */
  const noted = new Map();
  async function events(id) {
    const answer = await fetch(wan.url(`jobs/${id}/events?since=${noted.get(id) || 0}`), { cache: "no-store" });
    if (!answer.ok) return;
    const told = await answer.json();
    noted.set(id, told.next);
    for (const [ms, text] of told.events) wan.log(`${id.slice(0, 8)} +${(ms / 1000).toFixed(2)} s  ${text}`);
  }

  function draw(interval) {
    const { curves } = parts;
    const shown = names.map((name, i) => [name, i]).filter(([, i]) => samples.some((sample) => sample[i] != null));
    const highest = Math.max(1, ...shown.flatMap(([, i]) => samples.map((sample) => sample[i] || 0)));
    const ratio = devicePixelRatio || 1;
    const [width, height] = [curves.clientWidth * ratio, curves.clientHeight * ratio];
    if (curves.width !== width || curves.height !== height) Object.assign(curves, { width, height });
    const pen = curves.getContext("2d");
    pen.clearRect(0, 0, width, height);
    pen.strokeStyle = getComputedStyle(curves).getPropertyValue("--border-color-primary");
    for (let i = 0; i <= 4; i++) pen.strokeRect(0, (i * height) / 4, width, 0);
    pen.lineWidth = 1.5 * ratio;
    const step = width / Math.max(120, samples.length - 1);
    for (const [name, i] of shown) {
      pen.strokeStyle = COLOURS[name];
      pen.beginPath();
      samples.forEach((sample, k) => {
        if (sample[i] != null) pen.lineTo(width - (samples.length - 1 - k) * step, height - (0.94 * height * sample[i]) / highest);
      });
      pen.stroke();
    }
    const legend = shown.map(([name, i]) => {
      const entry = el("span", "wan-curve");
      entry.style.setProperty("--curve", COLOURS[name]);
      entry.append(el("b", "", t(`curve_${name}`)), el("span", "", wan.bytes(samples.at(-1)[i])));
      return entry;
    });
    legend.push(el("span", "wan-hint", t("curve_span", { minutes: ((samples.length * interval) / 60000).toFixed(1) })));
    parts.legend.replaceChildren(...legend);
    curves.setAttribute("aria-label", parts.legend.textContent);
  }

  wan.mountDebug = (root) => {
    const place = $(".wan-debug", root);
    place.hidden = !wan.debug;
    if (!wan.debug) return;
    parts.curves = $("canvas", place);
    parts.legend = $(".wan-legend", place);
    wan.part(() => {
      $(".wan-debug-title", place).textContent = t("event_log");
      $(".wan-curves-title", place).textContent = t("curves");
    });
    follow();
  };
})();
