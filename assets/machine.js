/* The machine: what was found at start and the cure where something lacks, and its engines made anew.
 *
 * Owns the panel and when it opens by itself: at the first visit, and whenever something does not work. Nothing waits for it.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { $, el, button, t, own, parts } = wan;
  const MARKS = { ok: "✓", note: "i", fault: "!", busy: "…" };
  let told = null; // the last answer of /machine
  let open = null; // null: not decided yet

  async function ask(path = "machine", method = "GET") {
    try {
      const answer = await fetch(wan.url(path), { method, cache: "no-store" });
      const found = await answer.json();
      if (!answer.ok) throw found;
      told = found;
    } catch (error) {
      if (method === "POST") wan.showError(error.message_en ? error : { key: "not_reachable" });
      else wan.log(`machine: ${error.message || error.message_en}`);
      return;
    }
    const faulty = told.checks.some((check) => check.level === "fault");
    if (open === null && (faulty || (!wan.kept("localStorage", "wan-checked") && innerWidth > 760))) open = true;
    open ??= false;
    draw();
  }

  function item(check) {
    const { key, level } = check;
    const node = el("li", "wan-check");
    node.dataset.level = level;
    const mark = el("i", "wan-check-mark", MARKS[level]);
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", t(`check_level_${level}`));
    node.append(mark, el("b", "", t(`check_${key}`)), el("span", "", own(check, "found")));
    const cure = own(check, "cure");
    if (cure) node.append(el("p", "", cure));
    return node;
  }

  function draw() {
    const { checks, machine } = parts;
    if (!checks || !machine) return;
    machine.textContent = t("machine");
    machine.title = t("machine_tip");
    if (!told) return;
    const worst = ["fault", "busy", "note"].find((level) => told.checks.some((check) => check.level === level)) || "ok";
    machine.dataset.level = worst;
    machine.setAttribute("aria-expanded", String(open));
    checks.hidden = !open;
    if (!open) return;
    const focused = checks.contains(document.activeElement) ? document.activeElement.dataset.name : "";
    const close = button("wan-close", "×", shut);
    close.setAttribute("aria-label", t("close"));
    close.dataset.name = "close";
    const head = el("header");
    head.append(el("h2", "", t("machine_title")), el("span", "wan-hint", t("machine_hint")), close);
    const list = el("ul");
    list.append(...told.checks.map(item));
    checks.replaceChildren(head, list);
    if (told.may_rebuild) {
      const foot = el("footer");
      const building = told.building_percent != null;
      if (building) {
        const bar = Object.assign(el("progress"), { max: 100, value: told.building_percent });
        bar.setAttribute("aria-label", t("engines_building"));
        foot.append(bar, el("span", "", `${t("engines_building")} ${told.building_percent} %`));
      }
      const act = building
        ? button("wan-button wan-stop-building", t("engines_stop"), () => ask("engines/stop", "POST"))
        : button("wan-button wan-rebuild", t("engines_rebuild"), () => ask("engines/rebuild", "POST"));
      act.title = t(building ? "engines_stop_tip" : "engines_rebuild_tip");
      act.dataset.name = "engines";
      foot.append(act);
      checks.append(foot);
    }
    if (focused) $(`[data-name=${focused}]`, checks)?.focus();
  }

  function shut() {
    const had = parts.checks.contains(document.activeElement);
    wan.keep("localStorage", "wan-checked", true);
    open = false;
    draw();
    if (had) parts.machine.focus();
  }
  addEventListener("keydown", (event) => event.key === "Escape" && open && !$("dialog[open]") && shut());
  let seen = "";
  wan.followers.push(() => {
    const { id } = wan.job;
    if (open && id && id !== seen) shut(); // a video comes on the screen: the panel does not lie over it
    seen = id;
  });

  /* Asked anew while something is under way, and whenever the stage of the start changes. */
  let stage = "";
  let asked = 0;
  wan.statusFollowers.push(() => {
    if (!wan.status || wan.offline) return;
    const busy = told && (told.building_percent != null || told.checks.some((check) => check.level === "busy"));
    if (wan.status.stage === stage && !(busy && performance.now() - asked > 1500)) return;
    stage = wan.status.stage;
    asked = performance.now();
    ask();
  });

  wan.mount.checks = (root) => {
    parts.checks = $(".wan-checks", root);
    wan.part(draw);
  };
  wan.mountMachine = (node) => {
    parts.machine = node;
    node.onclick = () => {
      if (open) return shut();
      open = true;
      draw();
      ask();
    };
    wan.part(draw);
  };
})();
