// The panel of the chosen event: pictures, close-up, words, tables, doubts.
const MOTION_AT_FIRST = 5;

const showDetail = (event, position, count) => {
  const result = event.result, cot = result && result.cot;
  const parts = [
    make("div", { class: "detail-head" },
      make("h2", {}, make("span", { class: `key ${event.kind}` }, event.kind), ` ${who(event.person)}, ${clock(event.apex_s)}`),
      make("nav", { "aria-label": "Events" },
        make("button", { type: "button", "aria-label": "Event before", onclick: () => step(-1), ...(position > 1 ? {} : { disabled: "" }) }, "\u2190"),
        make("span", { class: "quiet" }, position ? `${position} of ${count}` : ""),
        make("button", { type: "button", "aria-label": "Event after", onclick: () => step(1), ...(position < count ? {} : { disabled: "" }) }, "\u2192"))),
    make("p", { class: "quiet" }, `${event.duration_s.toFixed(2)} s long, ${event.rise_s.toFixed(2)} s to the apex. Score ${event.score.toFixed(2)}.`),
    event.whole_face ? make("p", { class: "quiet" }, `Whole face at the apex: ${event.whole_face[1]}; at onset: ${event.whole_face[0]} (${event.whole_face[2]}).`) : null,
    event.recognised ? make("p", { class: "quiet" }, `Recogniser of micro-expressions: ${event.recognised[0]}, ${Math.round(event.recognised[1] * 100)} % (${event.recognised[2]}).`) : null,
    pictures(event),
    closeUp(event),
  ];
  if (cot) {
    parts.push(
      make("p", { class: "verdict" }, make("span", { class: "label" }, cot.label),
        make("span", { class: `tag ${result.verified ? "ok" : "no"}` }, result.verified ? "\u2713 claims match the evidence" : "! not verified")),
      alternatives(result, cot.label),
      result.verified ? null : reasons("Why it is not verified", result.reasons),
      make("div", { class: "cot" }, make("h3", {}, "Key observations"), make("p", {}, cot.observations),
        make("h3", {}, "Overall emotional interpretation"), make("p", {}, cot.interpretation), make("h3", {}, "Conclusion"), make("p", {}, cot.conclusion)),
      result.verified && result.reasons.length ? reasons("Remarks", result.reasons) : null);
  } else if (result) parts.push(reasons("The explanation failed", result.reasons.length ? result.reasons : ["no reason was given"]));
  else parts.push(make("p", { class: "quiet boxed" }, "No explanation was asked for, or it has not come yet. `streamfer explain` adds it."));
  if (event.flags.length) parts.push(reasons("To keep in mind", event.flags));
  parts.push(make("h3", {}, "Action units"), event.aus.length ? auTable(event) : make("p", { class: "quiet" }, "None above the floor."));
  if (event.motion.length) parts.push(...motion(event));
  if (event.maps) parts.push(...maps(event));
  parts.push(make("p", { class: "quiet small" }, `Frames ${event.frames.join(", ")}. Event ${event.id}.${result ? ` Written by ${result.by}.` : ""}`));
  $("detail").replaceChildren(...parts.filter(Boolean));
  $("detail").scrollTop = 0;
};

const addressOf = (path) => path.split("/").map(encodeURIComponent).join("/");
const pictures = (event) => {
  const roles = ["onset", "apex", "offset"].filter((role) => event.pictures[role]);
  if (!roles.length) return make("p", { class: "quiet boxed" }, "No pictures were kept.");
  return make("div", { class: "pictures" }, ...roles.map((role) => {
    const address = addressOf(event.pictures[role]);
    return make("figure", {}, make("a", { href: address, target: "_blank", rel: "noopener", title: "Open the picture alone" },
      make("img", { src: address, alt: `${who(event.person)} at the ${role}` })), make("figcaption", {}, make("b", {}, role), ` ${clock(event[`${role}_s`])}`));
  }));
};

// The event's own AUs frame by frame: what the lanes are too coarse for in a long video.
const closeUp = (event) => {
  if (!event.close_up) return null;
  const [W, H, L, R, T, B] = [400, 138, 20, 4, 16, 18];
  const t = milliseconds(event.close_up.ms).map((ms) => event.close_up.start_s + ms / 1000);
  const curves = Object.entries(event.close_up.aus).map(([code, packed]) => [code, intensities(packed)]);
  const top = Math.min(5, Math.ceil(Math.max(1, ...curves.flatMap(([, values]) => values.map((v) => v || 0)))));
  const from = Math.min(t[0], event.onset_s), to = Math.max(t[t.length - 1], event.offset_s, from + 0.001);
  const x = (s) => L + ((s - from) / (to - from)) * (W - L - R), y = (v) => H - B - (v / top) * (H - T - B);
  const chart = svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "close-up", role: "img",
    "aria-label": `Intensity of ${curves.map(([code]) => code).join(", ")} from ${clock(from)} to ${clock(to)}; onset, apex and offset are marked` },
  svg("rect", { x: x(event.onset_s), y: T, width: Math.max(1, x(event.offset_s) - x(event.onset_s)), height: H - T - B, fill: `var(--${event.kind}-span)` }));
  for (let v = 0; v <= top; v += 1) {
    chart.append(svg("line", { x1: L, x2: W - R, y1: y(v), y2: y(v), stroke: "var(--line)" }), svg("text", { x: L - 6, y: y(v) + 3.5, "text-anchor": "end" }, `${v}`));
  }
  for (const [role, s] of [["onset", event.onset_s], ["apex", event.apex_s], ["offset", event.offset_s]]) {
    chart.append(svg("line", { x1: x(s), x2: x(s), y1: T, y2: H - B, stroke: `var(--${event.kind})`, "stroke-dasharray": role === "apex" ? "none" : "3 3" }));
  }
  chart.append(svg("text", { x: x(event.apex_s), y: 10, "text-anchor": "middle" }, "apex"));
  curves.forEach(([, values], i) => {
    let path = "", open = false;
    values.forEach((v, k) => {
      if (v !== null) path += `${open ? "L" : "M"}${x(t[k]).toFixed(1)} ${y(v).toFixed(1)}`;
      open = v !== null;
    });
    chart.append(svg("path", { d: path, fill: "none", stroke: `var(--c${i % 8})`, "stroke-width": 2, "stroke-linejoin": "round" }));
  });
  const ticks = timeTicks([from, to], 5);
  ticks.forEach((s) => chart.append(svg("text", { x: Math.max(L + 8, Math.min(x(s), W - 14)), y: H - 4, "text-anchor": "middle" }, clock(s, ticks[1] - ticks[0] < 1 ? 1 : 0))));
  const names = make("p", { class: "legend" }, ...curves.map(([code], i) => {
    const dot = make("i");
    dot.style.background = `var(--c${i % 8})`;
    const number = code.replace(/\D/g, "").padStart(2, "0"), side = { L: " left", R: " right" }[code[0]] || "";
    return make("span", {}, dot, `AU${number}${side}, ${auName(`AU${number}`)}`);
  }));
  return make("div", {}, chart, names);
};

const alternatives = (result, label) => {
  const others = Object.entries(result.chances).filter(([name]) => name !== label).sort((a, b) => b[1] - a[1]).slice(0, 3);
  return others.length ? make("p", { class: "quiet" }, `Also fits: ${others.map(([name, p]) => `${name} ${Math.round(p * 100)} %`).join(", ")}.`) : null;
};

const reasons = (title, texts) => make("div", { class: "boxed" }, make("h3", {}, title), make("ul", {}, ...texts.map((text) => make("li", {}, text))));

// An event's strength is the larger of the AU model's reading and of what the region's movement amounts to
// (screening/naming.py); the reading alone stands beside it, so that nobody takes the one for the other.
const modelAtApex = (event, change) => {
  const packed = event.close_up && event.close_up.aus[codeOf(change)];
  if (!packed) return null;
  const apex = (event.apex_s - event.close_up.start_s) * 1000;
  const times = milliseconds(event.close_up.ms);
  const nearest = times.reduce((best, ms, i) => (Math.abs(ms - apex) < Math.abs(times[best] - apex) ? i : best), 0);
  return intensities(packed)[nearest];
};
const auTable = (event) => {
  const rows = event.aus.map((c) => ({ c, read: modelAtApex(event, c) }));
  const byMovement = event.aus.some((c) => c.source === "movement");
  const heads = ["Action unit", "Side", "Strength", "Change", "Curve"];
  return make("div", {}, make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((name, i) => make("th", { scope: "col", class: i > 1 ? "num" : "" }, name)))),
    make("tbody", {}, ...rows.map(({ c, read }) => {
      const bar = make("i");
      bar.style.width = `${Math.min(100, c.intensity * 20)}%`;
      return make("tr", {}, make("td", {}, make("b", {}, c.au), ` ${auName(c.au)}`), make("td", {}, c.side),
        make("td", { class: "num" }, make("span", { class: "meter", "aria-hidden": "true" }, bar), `${c.intensity.toFixed(1)} ${c.letter}${c.source === "movement" ? "*" : ""}`),
        make("td", { class: "num" }, `${c.delta >= 0 ? "+" : "\u2212"}${Math.abs(c.delta).toFixed(1)}`),
        make("td", { class: "num" }, read === null ? "\u2013" : read.toFixed(1)));
    }))),
  make("p", { class: "quiet small" }, "Strength at the apex is the larger of what the AU model read (Curve) and what the movement of the region amounts to.",
    byMovement ? " *\u00a0From movement, which says more than the curve here: small, brief actions often show there first, and so do errors." : ""));
};

const motion = (event) => {
  const place = (region) => region.replaceAll("_", " ").replace(/ L$/, ", left").replace(/ R$/, ", right");
  const rows = [...event.motion].sort((a, b) => b[1] - a[1]).map(([region, per_cent, direction]) => make("tr", {},
    make("td", {}, place(region)), make("td", { class: "num" }, `${per_cent.toFixed(1)} %`), make("td", {}, direction)));
  const table = (own) => make("table", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Region"), make("th", { scope: "col", class: "num" }, "Distance"),
    make("th", { scope: "col" }, "In the picture"))), make("tbody", {}, ...own));
  const rest = rows.slice(MOTION_AT_FIRST);
  return [make("h3", {}, "Movement from onset to apex"), table(rows.slice(0, MOTION_AT_FIRST)),
    rest.length ? make("details", {}, make("summary", {}, plural(rest.length, "more region")), table(rest)) : null,
    make("p", { class: "quiet small" }, "Per cent of the distance between the inner eye corners, head movement taken off.")].filter(Boolean);
};
