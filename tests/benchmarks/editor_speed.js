// What the benchmark of the editor does in the page: every action returns the milliseconds between its frames.
window.bench = (() => {
  const FRAMES = 90;
  const frame = () => new Promise(requestAnimationFrame);
  const host = () => document.getElementById("graph");

  function point(type, x, y, button, buttons) {
    host().dispatchEvent(new PointerEvent(type, {
      clientX: x, clientY: y, button, buttons, pointerId: 1, pointerType: "mouse", bubbles: true,
    }));
  }

  async function timed(step, count = FRAMES) {
    const times = [];
    let last = await frame();
    for (let i = 0; i < count; i++) {
      step(i);
      const now = await frame();
      times.push(now - last);
      last = now;
    }
    return times;
  }

  async function pulled(x, y, button, path, count = FRAMES) {
    host().setPointerCapture = () => undefined;
    point("pointerdown", x, y, button, button === 1 ? 4 : 1);
    const to = (i) => point("pointermove", x + path(i), y + path(i) / 2, -1, button === 1 ? 4 : 1);
    const times = await timed(to, count);
    point("pointerup", x + path(count - 1), y + path(count - 1) / 2, button, 0);
    return times;
  }

  /** Far away, past many nodes, and back. */
  const away = (i) => -20 * Math.min(i, 2 * FRAMES - i);
  /** There and back in waves. */
  const wave = (size) => (i) => -size * Math.sin((i / FRAMES) * 4 * Math.PI);
  const middle = () => {
    const { left, top, width, height } = host().getBoundingClientRect();
    return [left + width / 2, top + height / 2];
  };

  const bench = {
    firstNodeMs: 0,
    pan: () => pulled(...middle(), 1, away, 2 * FRAMES),
    zoom: () => {
      const [clientX, clientY] = middle();
      return timed((i) => host().dispatchEvent(new WheelEvent("wheel", {
        clientX, clientY, deltaY: i % 60 < 30 ? -12 : 12, bubbles: true, cancelable: true,
      })));
    },
    drag: () => {
      const inside = [...document.querySelectorAll(".node-title")].map((item) => item.getBoundingClientRect());
      const [x, y] = middle();
      inside.sort((a, b) => Math.hypot(a.x - x, a.y - y) - Math.hypot(b.x - x, b.y - y));
      return pulled(inside[0].x + 20, inside[0].y + 8, 0, wave(150));
    },
    typing: async () => {
      const field = document.querySelector(".field-text");
      const write = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set;
      field.focus();
      const times = [];
      for (let i = 0; i < FRAMES; i++) {
        await frame();
        const start = performance.now();
        write.call(field, `${field.value}a`);
        field.dispatchEvent(new InputEvent("input", { bubbles: true }));
        times.push(performance.now() - start);
      }
      field.blur();
      return times;
    },
    /** From now on real keys are told: from the key to the picture that shows it, in the browser's own steps of 8 ms. */
    keys: [],
    watchKeys: () => {
      document.querySelector(".field-text").focus();
      new PerformanceObserver((list) => {
        for (const { name, duration } of list.getEntries()) if (name === "keydown") bench.keys.push(duration);
      }).observe({ type: "event", durationThreshold: 16 });
    },
  };
  const look = () => {
    if (document.querySelector(".node") === null) requestAnimationFrame(look);
    else bench.firstNodeMs = performance.now();
  };
  requestAnimationFrame(look);
  return bench;
})();
