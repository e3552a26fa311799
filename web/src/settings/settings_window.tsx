/** Look, language and shortcuts. */

import { useState } from "react";
import { useStore } from "zustand";
import { modifiersOf } from "../canvas/input";
import { LANGUAGES, useSay, type Language, type TextKey } from "../i18n/catalogue";
import { chordOf, COMMANDS, type CommandName } from "../interaction/keymap";
import { FIELD, PLAIN_BUTTON, Section, Window } from "../ui/parts";
import { ACCENTS, GRIDS, keymapOf, preferences, THEMES, withChord, type Theme } from "./preferences";
import { sharing } from "./shared_preferences";

const MODIFIERS = new Set(["Control", "Shift", "Alt", "Meta", "AltGraph"]);

export default function SettingsWindow({ onClose }: { onClose: () => void }) {
  const say = useSay();
  const chosen = useStore(preferences);
  const isShared = useStore(sharing, (state) => state.isShared);
  return (
    <Window title={say("settings.title")} onClose={onClose} className="w-[36rem]">
      <Section title={say("settings.look")}>
        <label className="flex items-center gap-3">
          <span className="w-32">{say("settings.theme")}</span>
          <select className={FIELD} value={chosen.theme} onChange={(event) => preferences.setState({ theme: event.target.value as Theme })}>
            {THEMES.map((name) => <option key={name} value={name}>{say(`settings.${name}`)}</option>)}
          </select>
        </label>
        <div className="flex items-center gap-3" role="group" aria-label={say("settings.accent")}>
          <span className="w-32">{say("settings.accent")}</span>
          {ACCENTS.map((name) => (
            <button
              key={name} type="button" aria-label={say(`color.${name}`)} title={say(`color.${name}`)} aria-pressed={chosen.accent === name} data-accent={name}
              className="size-7 rounded-full border-2 border-transparent bg-accent outline-offset-2 aria-pressed:border-text"
              onClick={() => preferences.setState({ accent: name })}
            />
          ))}
        </div>
        <label className="flex items-center gap-3">
          <span className="w-32">{say("settings.motion")}</span>
          <input type="checkbox" className="size-4 accent-accent" checked={chosen.hasLessMotion} onChange={(event) => preferences.setState({ hasLessMotion: event.target.checked })} />
        </label>
        <label className="flex items-center gap-3">
          <span className="w-32">{say("settings.language")}</span>
          <select className={FIELD} value={chosen.language} onChange={(event) => preferences.setState({ language: event.target.value as Language })}>
            {Object.entries(LANGUAGES).map(([key, name]) => <option key={key} value={key} lang={key}>{name}</option>)}
          </select>
        </label>
        <div className="flex items-center gap-3">
          <label htmlFor="snaps-to-grid" className="w-32">{say("settings.snaps")}</label>
          <input
            id="snaps-to-grid" type="checkbox" className="size-4 accent-accent" checked={chosen.snapsToGrid}
            onChange={(event) => preferences.setState({ snapsToGrid: event.target.checked })}
          />
          <select
            className={`${FIELD} w-24!`} aria-label={say("settings.grid")} value={chosen.grid}
            onChange={(event) => preferences.setState({ grid: Number(event.target.value) })}
          >
            {GRIDS.map((size) => <option key={size} value={size}>{size}</option>)}
          </select>
          <span className="text-xs text-quiet">{say("settings.snapKey")}</span>
        </div>
      </Section>
      <Shortcuts />
      {isShared !== null && <p className="px-3 pt-2 text-xs text-quiet" role="status">{say(isShared ? "settings.shared" : "settings.local")}</p>}
    </Window>
  );
}

function Shortcuts() {
  const say = useSay();
  const keys = useStore(preferences, (state) => state.keys);
  const [asked, setAsked] = useState<CommandName | null>(null);
  const chords = Object.entries(keymapOf(keys));
  return (
    <Section
      title={say("settings.keys")}
      actions={<button type="button" className={PLAIN_BUTTON} onClick={() => preferences.setState({ keys: {} })}>{say("settings.default")}</button>}
    >
      <ul className="divide-y divide-line">
        {COMMANDS.map((name) => {
          const text = say(`command.${name}` as TextKey);
          const own = chords.filter(([, each]) => each === name).map(([chord]) => chord).join("  ") || "–";
          const shown = asked === name ? say("settings.press") : own;
          return (
            <li key={name} className="flex items-center gap-2 py-1">
              <span className="flex-1">{text}</span>
              <button
                type="button" aria-label={`${say("settings.change", { name: text })}: ${shown}`} className={`${PLAIN_BUTTON} min-w-32 font-mono text-xs`}
                onClick={() => setAsked(name)} onBlur={() => setAsked(null)}
                onKeyDown={(event) => {
                  if (asked !== name || MODIFIERS.has(event.key) || event.key === "Tab") return;
                  event.preventDefault();
                  event.stopPropagation();
                  const input = { key: event.key.toLowerCase(), modifiers: modifiersOf(event.nativeEvent), isTyping: false };
                  preferences.setState({ keys: withChord(keys, name, chordOf(input)) });
                  setAsked(null);
                }}
              >
                {shown}
              </button>
            </li>
          );
        })}
      </ul>
    </Section>
  );
}
