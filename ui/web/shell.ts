// The one way out of this page: the commands that the window may call, each granted by name in
// tauri.conf.json. Nothing else of the shell is reachable from here.
import { Channel, invoke } from "@tauri-apps/api/core";

import type { Screen } from "./view";

export interface Shell {
  /** Hands over what to show, now and whenever it changes. */
  watch(show: (screen: Screen) => void): Promise<void>;
  /** Approves by a click, or with a PIN. */
  approve(call: string, pin: string | null): Promise<void>;
  deny(call: string): Promise<void>;
  denyAndPause(call: string): Promise<void>;
  /** Shows the next question; this one waits on. */
  next(call: string): Promise<void>;
  /** Closes the window; what it showed waits on. */
  close(): Promise<void>;
}

export const shell: Shell = {
  watch: (show) => {
    const screens = new Channel<Screen>();
    screens.onmessage = show;
    return invoke("watch", { screens });
  },
  approve: (call, pin) => invoke("approve", { call, pin }),
  deny: (call) => invoke("deny", { call }),
  denyAndPause: (call) => invoke("deny_and_pause", { call }),
  next: (call) => invoke("next", { call }),
  close: () => invoke("close"),
};
