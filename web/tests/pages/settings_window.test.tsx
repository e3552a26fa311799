// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { chooseLanguage } from "../../src/i18n/catalogue";
import { keymapOf, preferences, readPreferences } from "../../src/settings/preferences";
import SettingsWindow from "../../src/settings/settings_window";

beforeEach(() => preferences.setState(readPreferences(null, ["en"]), true));
afterEach(async () => {
  cleanup();
  await chooseLanguage("en");
});

describe("the settings window", () => {
  it("changes theme, accent, motion and language at once", async () => {
    render(<SettingsWindow onClose={() => undefined} />);
    await userEvent.selectOptions(screen.getByRole("combobox", { name: "Theme" }), "High contrast");
    await userEvent.click(screen.getByRole("button", { name: "Rose" }));
    await userEvent.click(screen.getByRole("checkbox", { name: "Less motion" }));
    await userEvent.selectOptions(screen.getByRole("combobox", { name: "Language" }), "Русский");
    expect(preferences.getState()).toMatchObject({ theme: "contrast", accent: "rose", hasLessMotion: true, language: "ru" });
    await chooseLanguage("ru");
    await waitFor(() => expect(screen.getByRole("button", { name: "Розовый", pressed: true })).toBeTruthy());
  });

  it("takes the next keys for a command, and gives the defaults back", async () => {
    render(<SettingsWindow onClose={() => undefined} />);
    const row = screen.getByRole("button", { name: /^Change the keys of Arrange/ });
    await userEvent.click(row);
    fireEvent.keyDown(row, { key: "Control", ctrlKey: true });
    fireEvent.keyDown(row, { key: "l", ctrlKey: true });
    expect(keymapOf(preferences.getState().keys)["ctrl+l"]).toBe("arrange");
    await waitFor(() => expect(row.textContent).toBe("ctrl+l"));
    await userEvent.click(screen.getByRole("button", { name: "Defaults" }));
    expect(preferences.getState().keys).toEqual({});
  });

  it("is left by escape", async () => {
    let isClosed = false;
    render(<SettingsWindow onClose={() => void (isClosed = true)} />);
    await userEvent.keyboard("{Escape}");
    await waitFor(() => expect(isClosed).toBe(true));
  });
});
