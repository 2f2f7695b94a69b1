// Starts the page of `luge lens`: reads the data, writes the heading, and ties
// the map to the position that is open, which the address names: #position=4.

const data = JSON.parse($("data").textContent);

function heading() {
  $("title").textContent = data.title;
  const fact = (name, text, title) => el("div", {}, el("dt", {}, name), el("dd", { title }, text));
  const norm = {
    raw: "raw: as the methods see them",
    final: "final: through the final norm, the logit lens",
  };
  $("facts").append(
    fact("model", data.model),
    fact("method", data.method),
    fact("exit norm", data.exit_norm, norm[data.exit_norm]),
    fact("layers", `${data.layers.length}`),
    fact("positions", `${data.positions.length}`),
    fact("luge", data.version),
  );
}

function start() {
  const pins = new Pins(data.pinned);
  const depth = $("depth");
  const map = lensMap($("map"), data, { onOpen: open });

  function open(index, row = null) {
    const { position } = data.positions[index];
    document.body.classList.add("page-open");
    depth.hidden = false;
    map.setOpen(index);
    lensDepth(depth, data, index, { pins, row, onMove: move, onClose: close });
    history.replaceState(null, "", `#position=${position}`);
    $("status").textContent = `Position ${position} is open below.`;
  }

  // Focus stays on the button that was used, which has been drawn anew.
  function move(index) {
    const label = document.activeElement.getAttribute("aria-label");
    map.select(data.layers.length - 1, index);
    open(index);
    depth.querySelector(`[aria-label="${label}"]:enabled`)?.focus();
  }

  function close() {
    if (depth.hidden) return;
    const inside = depth.contains(document.activeElement);
    depth.hidden = true;
    document.body.classList.remove("page-open");
    map.setOpen(null);
    history.replaceState(null, "", location.pathname + location.search);
    $("status").textContent = "";
    if (inside) map.focus();
  }

  function fromAddress() {
    const named = location.hash.match(/^#position=(\d+)$/)?.[1];
    const index = data.positions.findIndex(({ position }) => `${position}` === named);
    if (index < 0) return false;
    map.select(data.layers.length - 1, index);
    open(index);
    return true;
  }
  addEventListener("hashchange", fromAddress);
  if (!fromAddress() && data.positions[data.open]) {
    map.select(data.layers.length - 1, data.open);
    open(data.open);
  }

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      tooltip.hide();
      close();
    }
    const chosen = Object.entries(COLOURINGS).find(([, { key }]) => key === event.key);
    if (chosen) map.colour(chosen[0]);
  });
  theme(map.repaint);
}

heading();
if (data.positions.length) start();
else {
  $("map").textContent = "The text has no positions to look at.";
  theme();
}
