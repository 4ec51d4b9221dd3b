import { useEffect, useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";
import { on_theme } from "../theme";

/** The size of an element in CSS pixels, kept up to date; [0, 0] before it is known. */
export function useSize<Measured extends Element>() {
  const element = useRef<Measured>(null);
  const [size, set_size] = useState<readonly [number, number]>([0, 0]);
  useLayoutEffect(() => {
    const measured = element.current;
    if (!measured) return;
    const take = () => {
      const { width, height } = measured.getBoundingClientRect();
      set_size((was) => (was[0] === width && was[1] === height ? was : [width, height]));
    };
    take();
    const observer = new ResizeObserver(take);
    observer.observe(measured);
    return () => observer.disconnect();
  }, []);
  return [element, size] as const;
}

const phone = matchMedia("(max-width: 640px)");

/** Whether tables are laid out as cards, of which fewer fit. */
export function useNarrow(): boolean {
  const [narrow, set_narrow] = useState(phone.matches);
  useEffect(() => {
    const look = () => set_narrow(phone.matches);
    phone.addEventListener("change", look);
    return () => phone.removeEventListener("change", look);
  }, []);
  return narrow;
}

/** A number that moves when the theme does: canvases are drawn again. */
export function useThemeCount(): number {
  const [times, count] = useReducer((value: number, _: void) => value + 1, 0);
  useEffect(() => on_theme(() => count()), []);
  return times;
}
