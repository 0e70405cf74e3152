/* The prompt studio: advice while one types, one-click fixes and their undo, the final prompt.
 *
 * Owns their drawing and the stack of undo. What is drawn comes from the server's /coach and /explain.
 */
(() => {
  "use strict";
  const wan = window.wan;
  const { $, el, button, t, own, parts, setup } = wan;
  const KINDS = ["subject", "scene", "light", "style", "quality"];
  const PAUSE_MS = 200;
  const MAX_SHOWN = 4;

  const asked = { prompt: "", negative_prompt: "", style: "" }; // as the controls have it
  let advice = null; // the last answer of /coach, with the prompt that it is about
  let explained = null; // the last answer of /explain
  const changes = []; // what a click changed, for undo: {before, after, values}
  let restored = null; // values that undo gives back

  const setText = (node, text) => node.textContent !== text && (node.textContent = text); // read aloud at changes only
  const listed = (words) => words.join(wan.language === "zh" ? "、" : ", ");
  const area = () => $("#wan-prompt textarea");

  /* ---- the server's answers ---- */
  wan.post = async (path, body, signal) => {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(wan.url(path), { method: "POST", headers, body, signal });
    const told = await answer.json();
    if (!answer.ok) throw told;
    return told;
  };
  const flights = {};
  async function ask(path, fields) {
    flights[path]?.abort(); // only the newest question wants an answer
    const flight = (flights[path] = new AbortController());
    try {
      return await wan.post(path, JSON.stringify(fields), flight.signal);
    } catch (error) {
      if (error.name !== "AbortError") wan.log(`${path}: ${error.message || own(error, "message")}`);
      return null;
    }
  }

  let timer = 0;
  wan.study = (prompt, negative, style) => {
    Object.assign(asked, { prompt, negative_prompt: negative, style: style || "" });
    wan.markCard(asked.style);
    clearTimeout(timer);
    timer = setTimeout(study, PAUSE_MS);
  };
  wan.advised = () => advice && advice.prompt;
  async function study() {
    const { prompt, style } = asked;
    explain();
    const found = await ask("coach", { prompt, style });
    if (!found) return;
    advice = { ...found, prompt, style };
    drawAdvice();
    const waiting = !found.tokens && !found.error && !(wan.status && wan.status.stage === "failed");
    if (waiting) timer = setTimeout(study, 2000); // the model, whose tokenizer counts, is still to come
  }

  /* ---- changing the prompt, and back ---- */
  /* As a person would type it: through the browser's own editing, so that its Ctrl+Z knows of it. */
  function write(text) {
    const input = area();
    const old = input.value;
    const shorter = Math.min(old.length, text.length);
    let start = 0;
    while (start < shorter && old[start] === text[start]) start++;
    let tail = 0;
    while (tail < shorter - start && old[old.length - 1 - tail] === text[text.length - 1 - tail]) tail++;
    const words = text.slice(start, text.length - tail);
    input.focus({ preventScroll: true });
    input.setSelectionRange(start, old.length - tail);
    document.execCommand(words ? "insertText" : "delete", false, words);
    if (input.value === text) return;
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(input, text);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  /* What undo takes back: to the values where there are some, else to the prompt before. */
  wan.remember = (after, values = null) => {
    changes.push({ before: area().value, after, values });
    drawUndo();
  };
  function change(text) {
    wan.remember(text);
    write(text);
    parts.undo.focus({ preventScroll: true }); // the pressed button goes; here is the way back, and behind it the next fix
  }
  /* A fix is the whole prompt rewritten, so it holds only for the prompt that it was made from. */
  const fix = (wanted) => () => (area().value === advice.prompt ? change(wanted.prompt) : study());
  function select(start, end) {
    area().focus();
    area().setSelectionRange(start, end);
  }
  function undo() {
    const last = changes[changes.length - 1];
    if (!last) return;
    const now = area().value;
    if (now !== last.after && now !== last.before) {
      area().focus({ preventScroll: true }); // typed since: that first
      document.execCommand("undo");
      if (area().value !== now) return;
    }
    changes.pop();
    restored = last.values;
    if (restored) parts.takeBack("click");
    else if (now !== last.before) write(last.before);
    wan.toast(t("undone"));
    drawUndo();
    if (changes.length) parts.undo.focus({ preventScroll: true });
    else area().focus({ preventScroll: true });
  }
  wan.takeBack = (...current) => restored || current;
  function drawUndo() {
    parts.undo.hidden = !changes.length;
    parts.undo.textContent = `↶ ${t("undo")}`;
    parts.undo.title = t("undo_tip");
  }

  /* ---- advice ---- */
  let drawnAdvice = "";
  function drawAdvice() {
    if (!parts.coach) return;
    const now = JSON.stringify([wan.language, advice]);
    if (now === drawnAdvice) return; // what has the focus, or is being read aloud, stays
    drawnAdvice = now;
    parts.coach.setAttribute("aria-label", t("coach"));
    drawUndo();
    const { syntax, count, findings } = parts;
    const { error, tokens } = advice || {};
    $(".wan-parts", parts.coach).setAttribute("aria-label", t("order"));
    $(".wan-parts", parts.coach).title = t("order");
    $(".wan-parts", parts.coach).replaceChildren(...KINDS.map(partChip));
    syntax.hidden = !error;
    if (error) syntax.lastChild.replaceChildren(...place(error, advice.prompt));
    setText(syntax.firstChild, error ? wan.told(error) : "");
    const shown = advice ? advice.findings : [];
    const counted = shown.length ? t("advice_some", { n: shown.length }) : t("advice_none");
    const over = tokens && tokens.num > tokens.max;
    const said = !advice || error ? "" : tokens ? `${counted} · ${t(over ? "tokens_over" : "tokens", tokens)}` : counted;
    setText(count, said);
    count.classList.toggle("wan-bad", !!over);
    const items = shown.slice(0, MAX_SHOWN).map(finding);
    if (shown.length > MAX_SHOWN) items.push(el("li", "wan-hint", t("advice_more", { n: shown.length - MAX_SHOWN })));
    findings.replaceChildren(...items);
  }
  function partChip(kind) {
    const found = advice ? advice.parts.filter((part) => part.kind === kind) : [];
    const missing = advice && advice.missing[kind];
    const part = t(`part_${kind}`);
    const chip = (node, className, words, tip) => {
      node.className = `wan-part ${className}`;
      node.dataset.kind = kind;
      node.append(el("b", "", part), el("span", "", words));
      if (tip) node.title = tip;
      if (tip) node.setAttribute("aria-label", tip);
      return node;
    };
    if (found.length) {
      const words = listed([...new Set(found.map((one) => one.text))]);
      let next = 0;
      const node = button("", "", () => {
        const { start, end } = found[next++ % found.length];
        select(start, end);
      });
      return chip(node, "", words, t("part_found", { part, words }));
    }
    if (advice && advice.by_style.includes(kind)) return chip(el("span"), "wan-given", t("part_by_style"));
    if (!missing) return chip(el("span"), "wan-missing", "");
    const node = button("", "", fix(missing.fix));
    node.append(el("i", "", "+"));
    return chip(node, "wan-missing", missing.fix.text, t("part_missing", { part, words: missing.fix.text }));
  }
  function finding(one) {
    const item = el("li", "wan-finding");
    const said = button("wan-said", own(one, "message"), () => select(one.start, one.end));
    said.title = t("locate");
    const label = t(`fix_${one.fix.kind}`);
    const mend = button("wan-button wan-fix", "", fix(one.fix));
    mend.append(el("b", "", label));
    if (one.fix.text) mend.append(el("span", "", one.fix.text));
    mend.dataset.kind = one.fix.kind;
    mend.title = one.fix.text ? `${label} ${one.fix.text}` : label;
    item.append(said, mend);
    return item;
  }
  /* The character at fault among its neighbours; a press puts the cursor there. */
  function place({ position, field }, text) {
    if (position == null) return [];
    const end = position + (text.codePointAt(position) > 0xffff ? 2 : 1);
    const [from, to] = [Math.max(0, position - 12), end + 12];
    const node = button("wan-place", "", () => {
      const input = $(`#${setup.fields[field]} textarea`);
      input.focus();
      input.setSelectionRange(position, end);
    });
    node.title = t("locate");
    node.append(from ? "…" : "", text.slice(from, position), el("mark", "", text.slice(position, end)), text.slice(end, to), to < text.length ? "…" : "");
    return [node];
  }

  /* ---- the final prompt ---- */
  wan.reveal = (prompt, negative, style) => {
    Object.assign(asked, { prompt, negative_prompt: negative, style: style || "" });
    parts.final.hidden = !parts.final.hidden;
    $("#wan-reveal").setAttribute("aria-expanded", String(!parts.final.hidden));
    explain();
  };
  async function explain() {
    if (!parts.final || parts.final.hidden) return;
    const about = { ...asked };
    const told = await ask("explain", about);
    if (!told) return;
    const same = JSON.stringify({ ...told, about }) === JSON.stringify(explained);
    explained = { ...told, about };
    if (!same) drawFinal();
  }
  function drawFinal() {
    if (!explained) return;
    const { error, style, about } = explained;
    const rows = [];
    const row = (key, ...content) => {
      const told = el("dd");
      told.append(...content);
      rows.push(el("dt", "", t(key)), told);
    };
    if (error) {
      const told = el("span", "wan-bad", wan.told(error));
      row("error", told, ...place(error, about[error.field] || ""));
    } else {
      row("final_prompt", ...drawn(explained.positive));
      row("final_negative", ...drawn(explained.negative));
    }
    if (style) {
      const local = wan.language === "zh" ? "_zh" : "";
      if (style.suits) row("suits", style[`suits${local}`] || style.suits);
      if (style.looks) row("looks", style[`looks${local}`] || style.looks);
      row("fusion", fusion(style.fusion));
      if (style.phrase_zh) {
        const add = button("wan-button", t("add_phrase"), () => {
          const prompt = area().value.trim();
          change(prompt ? `${prompt}，${style.phrase_zh}` : style.phrase_zh);
        });
        row("phrase", `${style.phrase_zh} `, add);
      }
    }
    parts.final.replaceChildren(...rows);
  }
  function fusion({ weight, emphasis, guidance_scale: guidance, num_inference_steps: steps }) {
    const said = [t("fusion_weight", { weight })];
    if (emphasis.length) said.push(t("fusion_emphasis", { words: listed(emphasis) }));
    if (guidance != null) said.push(`cfg ${guidance}`);
    if (steps != null) said.push(`${t("steps")} ${steps}`);
    return said.join(" · ");
  }
  /* Runs with their weights drawn: the further from 1, the stronger the mark. */
  function drawn({ runs, tokens }) {
    const text = el("div", "wan-mono");
    for (const { text: written, weight, kept } of runs) {
      const node = el(weight === 1 ? "span" : "mark", weight < 1 ? "wan-less" : "");
      if (weight !== 1) node.style.setProperty("--strength", `${Math.min(100, Math.round(140 * Math.abs(weight - 1)))}%`);
      node.append(written.slice(0, kept));
      if (kept < written.length) node.append(el("del", "", written.slice(kept)));
      text.append(node);
    }
    if (!runs.length) text.append(t("final_empty"));
    const told = el("div", "wan-tokens");
    if (!tokens) told.append(t("tokens_unknown"));
    else {
      const meter = el("meter");
      Object.assign(meter, { min: 0, max: tokens.max, high: tokens.max, value: Math.min(tokens.num, tokens.max) });
      const over = tokens.num > tokens.max;
      meter.className = over ? "wan-over" : "";
      told.append(meter, t("tokens", tokens));
      if (over) told.append(el("span", "wan-bad", t("tokens_cut")));
    }
    return [text, told];
  }

  Object.assign(wan.mount, {
    coach(root, trigger) {
      parts.coach = $(".wan-coach", root);
      parts.syntax = $(".wan-syntax", root);
      parts.count = $(".wan-advice-count", root);
      parts.findings = $(".wan-findings", root);
      parts.undo = $(".wan-undo", root);
      parts.syntax.append(el("span"), el("span"));
      parts.takeBack = trigger;
      parts.undo.onclick = undo;
      root.addEventListener("keydown", (event) => {
        if (event.key.toLowerCase() !== "z" || event.shiftKey || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        undo();
      });
      wan.part(drawAdvice);
    },
    final(root) {
      parts.final = $(".wan-final", root);
      wan.part(drawFinal);
    },
  });
})();
