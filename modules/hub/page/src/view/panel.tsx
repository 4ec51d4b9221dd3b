import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

/** A titled part of the page. On a wall its body scrolls by itself, and then the keyboard can reach it. */
export function Panel({ id, title, tools, children }: {
  id: string;
  title: ComponentChildren;
  tools?: ComponentChildren;
  children: ComponentChildren;
}) {
  const body = useRef<HTMLDivElement>(null);
  const [scrolls, set_scrolls] = useState(false);
  useLayoutEffect(() => {
    const { scrollHeight, clientHeight } = body.current!;
    set_scrolls(scrollHeight > clientHeight + 1);
  });
  const reachable = scrolls ? { tabIndex: 0, role: "group" as const, "aria-labelledby": `${id}-title` } : {};
  return (
    <section id={id} class="panel" aria-labelledby={`${id}-title`}>
      <header>
        <h2 id={`${id}-title`}>{title}</h2>
        {tools}
      </header>
      <div class="body" ref={body} {...reachable}>
        {children}
      </div>
    </section>
  );
}
