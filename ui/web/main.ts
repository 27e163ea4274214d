// The approval window's entry. It shows what it is told and carries answers away; it decides nothing.
import { mount } from "svelte";

import App from "./App.svelte";
import { shell } from "./shell";
import "./window.css";

const target = document.getElementById("window");
if (target) mount(App, { target, props: { shell } });
