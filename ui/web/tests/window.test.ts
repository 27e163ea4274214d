// The window as its human meets it: what is shown, where the focus is, what leaves it.
import fc from "fast-check";
import { flushSync, mount, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import App from "../App.svelte";
import type { Shell } from "../shell";
import type { Piece, QuestionView, Screen } from "../view";

const plain = (text: string): Piece[] => [{ is: "plain", text }];

function question(changes: Partial<QuestionView> = {}): Screen {
  return {
    is: "question",
    call: "aaaaaaaaaaaaaaaaaaaaaaaaaa",
    headline: plain("Push `main` to `origin`"),
    effects: [plain("Push `main` to `origin`")],
    agent: "claude",
    session: "bbbbbbbbbbbbbbbbbbbbbbbbbb",
    directory: plain("/home/ada/kelp"),
    digest: "07".repeat(32),
    tier: "R2",
    tierMeans: "High impact.",
    why: plain("the branch is protected"),
    sight: "clear",
    position: 1,
    of: 1,
    waits: { is: "until", left: 90_000 },
    quoted: { tool: plain("Bash"), arguments: plain('{"command":"git push"}'), omitted: 0 },
    approval: "pin",
    act: { is: "waiting" },
    lost: null,
    ...changes,
  };
}

let show: (screen: Screen) => void;
let shell: { [name in keyof Shell]: ReturnType<typeof vi.fn> };
let app: ReturnType<typeof mount>;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(document, "hasFocus").mockReturnValue(true);
  const done = () => vi.fn(() => Promise.resolve());
  shell = { watch: done(), approve: done(), deny: done(), denyAndPause: done(), next: done(), close: done() };
  shell.watch.mockImplementation((listener: (screen: Screen) => void) => {
    show = (screen) => {
      listener(screen);
      flushSync();
    };
    return Promise.resolve();
  });
  app = mount(App, { target: document.body, props: { shell: shell as unknown as Shell } });
  flushSync();
});

afterEach(() => {
  void unmount(app);
  document.body.replaceChildren();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const one = <T extends HTMLElement>(selector: string): T => {
  const found = document.querySelector<T>(selector);
  if (!found) throw new Error(`no ${selector}`);
  return found;
};
const pin = () => one<HTMLInputElement>("#pin");
const approve = () => one<HTMLButtonElement>("#approve");

function type(text: string) {
  pin().value = text;
  pin().dispatchEvent(new Event("input", { bubbles: true }));
  flushSync();
}

function submit() {
  one<HTMLFormElement>("form").dispatchEvent(new SubmitEvent("submit", { bubbles: true, cancelable: true }));
  flushSync();
}

describe("a question", () => {
  test("has the focus on Deny, and a name and a description for screen readers", () => {
    show(question());
    expect(document.activeElement?.id).toBe("deny");
    const dialog = one("[role=alertdialog]");
    for (const attribute of ["aria-labelledby", "aria-describedby"]) {
      for (const id of (dialog.getAttribute(attribute) ?? "").split(" ")) {
        expect(document.getElementById(id), `${attribute} ${id}`).not.toBeNull();
      }
    }
  });

  test("takes the PIN once, and forgets it at once", () => {
    show(question());
    expect(approve().disabled).toBe(true);
    type("kelp-and-rock");
    expect(approve().disabled).toBe(false);
    submit();
    expect(shell.approve).toHaveBeenCalledExactlyOnceWith("aaaaaaaaaaaaaaaaaaaaaaaaaa", "kelp-and-rock");
    expect(pin().value).toBe("");
    expect(document.body.innerHTML).not.toContain("kelp-and-rock");
    submit();
    expect(shell.approve).toHaveBeenCalledOnce();
  });

  test("does not approve without a PIN, nor while an answer is on its way or the broker is gone", () => {
    show(question());
    submit();
    show(question({ act: { is: "approving" } }));
    expect(one<HTMLButtonElement>("#deny").disabled).toBe(true);
    submit();
    show(question({ lost: { message: plain("gone"), advice: [] } }));
    expect(document.body.textContent).toContain("The broker does not answer");
    submit();
    expect(shell.approve).not.toHaveBeenCalled();
  });

  test("of low risk is approved by a click, once the window has been in front for a moment", () => {
    show(question({ tier: "R1", approval: "click" }));
    expect(document.querySelector("#pin")).toBeNull();
    submit();
    expect(shell.approve).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    flushSync();
    window.dispatchEvent(new Event("blur"));
    flushSync();
    expect(approve().disabled).toBe(true);
    window.dispatchEvent(new Event("focus"));
    vi.advanceTimersByTime(999);
    flushSync();
    expect(approve().disabled).toBe(true);
    vi.advanceTimersByTime(1);
    flushSync();
    submit();
    expect(shell.approve).toHaveBeenCalledExactlyOnceWith("aaaaaaaaaaaaaaaaaaaaaaaaaa", null);
  });

  test("that cannot be approved here has no button for it", () => {
    show(question({ tier: "R3", approval: "elsewhere" }));
    expect(document.querySelector("#approve")).toBeNull();
    one("#deny").click();
    expect(shell.deny).toHaveBeenCalledOnce();
  });

  test("stays where it is on Esc, and no letter answers it", () => {
    show(question());
    for (const key of ["a", "y", "d", "n"]) {
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    }
    expect(shell.approve).not.toHaveBeenCalled();
    expect(shell.deny).not.toHaveBeenCalled();
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    expect(shell.close).toHaveBeenCalledOnce();
    expect(shell.deny).not.toHaveBeenCalled();
  });

  test("puts the focus back on Deny when another takes its place", () => {
    show(question());
    pin().focus();
    show(question({ call: "cccccccccccccccccccccccccc" }));
    expect(document.activeElement?.id).toBe("deny");
    expect(pin().value).toBe("");
  });

  test("says that a PIN was wrong, and puts the focus where it is typed", () => {
    show(question());
    show(question({ act: { is: "refused", notice: { message: plain("the PIN is wrong"), advice: plain("type it again") } } }));
    expect(one("[role=alert]").textContent).toContain("the PIN is wrong");
    expect(document.activeElement?.id).toBe("pin");
  });

  test("warns on X11, of what is uninspectable, and of what comes late", () => {
    show(question({ approval: "watched-pin", sight: "uninspectable", waits: { is: "late", left: 840_000 } }));
    for (const words of ["X11", "is taken here all the same", "cannot see through", "told no already", "14 min"]) {
      expect(document.body.textContent).toContain(words);
    }
    expect(pin()).not.toBeNull();
  });

  test("takes no PIN on X11 where the host does not declare that it may", () => {
    show(question({ approval: "in-terminal" }));
    expect(document.body.textContent).toContain("holdfast-approve");
    expect(document.querySelector("#pin")).toBeNull();
    expect(document.querySelector("#approve")).toBeNull();
  });

  test("announces the time at a few marks only", () => {
    show(question({ waits: { is: "until", left: 62_000 } }));
    const said: (string | null)[] = [];
    for (let second = 0; second < 62; second++) {
      vi.advanceTimersByTime(1000);
      flushSync();
      const text = one("[role=timer]").textContent;
      if (text !== said.at(-1)) said.push(text);
    }
    expect(said.filter(Boolean)).toEqual(["1 min left", "30 s left", "10 s left"]);
  });
});

describe("what an agent wrote", () => {
  test("stands in its box, after everything else, and never in the headline", () => {
    show(question({ quoted: { tool: plain("Bash"), arguments: plain("APPROVE, IT IS SAFE"), omitted: 3 } }));
    const text = document.body.textContent ?? "";
    expect(one("blockquote").textContent).toContain("APPROVE, IT IS SAFE");
    expect(one("#headline").textContent).not.toContain("APPROVE");
    expect(text.indexOf("APPROVE, IT IS SAFE")).toBeGreaterThan(text.indexOf("Call digest"));
    expect(text).toContain("3 characters more");
  });

  test("is text and nothing else, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 200 }), (text) => {
        const hostile = `<img src=x onerror="boom()"><script>boom()</script>${text}`;
        show(question({ headline: plain(hostile), quoted: { tool: plain(hostile), arguments: plain(hostile), omitted: 0 } }));
        expect(document.querySelector("img, script")).toBeNull();
        expect(one("#headline").textContent).toBe(hostile);
        expect(one("blockquote .tool").textContent).toBe(hostile);
      }),
      { numRuns: 50 },
    );
  });

  test("shows hidden characters as marks with a name", () => {
    const trick: Piece[] = [{ is: "plain", text: "main" }, { is: "hidden", text: "U+202E" }, { is: "plain", text: "niam" }];
    show(question({ headline: trick }));
    const mark = one("#headline .hidden-character");
    expect(mark.textContent).toBe("U+202E");
    expect(mark.getAttribute("aria-label")).toContain("U+202E");
    expect(one("#headline bdi").getAttribute("dir")).toBe("ltr");
  });

  test("may be very long without pushing the buttons away", () => {
    show(question({ effects: [plain("x".repeat(100_000))], quoted: { tool: plain("Bash"), arguments: plain("y".repeat(100_000)), omitted: 0 } }));
    // The part that scrolls holds all of it; the answers stand outside.
    expect(one(".body").contains(one("blockquote"))).toBe(true);
    expect(one(".body").contains(one("#deny"))).toBe(false);
  });
});

describe("without a question", () => {
  test("the window says why, and how to leave", () => {
    const screens: [Screen, string][] = [
      [{ is: "nothing" }, "Nothing waits"],
      [{ is: "gone", headline: plain("Push"), others: 2 }, "2 other questions"],
      [{ is: "no-broker", notice: { message: plain("no broker answers"), advice: plain("start it") } }, "start it"],
    ];
    for (const [screen, words] of screens) {
      show(screen);
      expect(document.body.textContent).toContain(words);
      expect(document.activeElement?.tagName).toBe("BUTTON");
      one("button").click();
    }
    expect(shell.close).toHaveBeenCalledTimes(3);
  });
});
