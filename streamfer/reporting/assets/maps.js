// The apex picture twice: under it what the network looked at, and where the measured AUs show. Said in words as well.
const maps = (event) => {
  const found = event.maps, aus = found.aus.map(auWords);
  const looked = found.strongest.length ? `strongest at the ${listed(found.strongest)}` : "weak all over the face";
  const layered = (path, said, title) => make("figure", {},
    make("div", { class: "layers", role: "img", "aria-label": said },
      make("img", { src: addressOf(event.pictures.apex), alt: "" }), make("img", { src: addressOf(path), alt: "" })),
    make("figcaption", {}, title));
  const figures = [layered(found.cam, `Apex picture. What spoke for ${found.expression}: ${looked}`,
    make("span", {}, make("i", { class: "swatch cam" }), `spoke for ${found.expression}`))];
  if (found.cues) figures.push(layered(found.cues, `Apex picture. Where ${listed(aus)} show`,
    make("span", {}, make("i", { class: "swatch cues" }), `where ${found.aus.map((au) => au.replace(/_[LR]$/, "")).join(", ")} show`)));
  return [make("h3", {}, "Where it shows"), make("div", { class: "maps" }, ...figures),
    make("p", { class: "small" }, `In this one picture the network reads ${found.expression} (${Math.round(found.probability * 100)} %), ${looked}; `
      + `${Math.round(found.elsewhere * 100)} % of the map lies where no action unit shows. `
      + (found.cues ? `It meets the places of ${listed(aus)} with a cosine of ${found.agreement.toFixed(2)} (0 apart, 1 the same).` : "None of the event's action units has a place on this map.")),
    make("p", { class: "quiet small" }, "The left map is where the network's score came from, not why, and not a proof that it is right. The right one is drawn from landmarks alone: "
      + "it marks where such movements show, not what was seen there.")];
};
const listed = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`);
const auWords = (column) => {
  const [code, side] = column.split("_");
  return `${code} ${auName(code)}${{ L: ", left", R: ", right" }[side] || ""}`;
};
