import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: "web",
  base: "./",
  plugins: [svelte()],
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    // What WebKitGTK 2.40, the oldest that Tauri takes, understands.
    target: "safari16",
    modulePreload: false,
    // Nothing is inlined: the content security policy knows files alone.
    assetsInlineLimit: 0,
  },
  // Tests run the client's half of Svelte.
  resolve: process.env.VITEST ? { conditions: ["browser"] } : {},
  test: { environment: "happy-dom" },
});
