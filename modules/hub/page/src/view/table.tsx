import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { count } from "../format";
import { sorted, type Order, type Value } from "../sort";
import { useNarrow } from "./measure";

export interface Column<Row> {
  id: string;
  title: string;
  /** What a screen reader says instead, where the title is a sign. */
  spoken?: string;
  numeric?: boolean;
  /** What to sort by; without it the column cannot be sorted. */
  value?: (row: Row) => Value;
  cell: (row: Row) => ComponentChildren;
}

interface Shown<Row> {
  /** Says what the table is to who cannot see it. */
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  key_of: (row: Row) => string;
  order: Order;
  /** Rows shown at first; "show more" doubles them. */
  step: number;
  empty: ComponentChildren;
  selected?: string;
  select?: (row: Row) => void;
  /** Stands above the rows, as a row of its own. */
  first?: ComponentChildren;
}

/** Rows that are drawn or left out together. */
const block = 25;
/** A table of so many rows is drawn whole: there the browser finds every text of it. */
const all_drawn = 100;
/** How far from what is looked at rows are drawn already, so that scrolling meets no empty ones. */
const margin = "300px 0px";

/** A table that is sorted by its headings. Draws those rows only that are near: thousands would make every update slow. */
export function Table<Row>({ caption, columns, rows, key_of, order: initial, step, empty, selected, select, first }: Shown<Row>) {
  const [order, set_order] = useState(initial);
  const narrow = useNarrow();
  const page = narrow ? Math.ceil(step / 6) : step;
  const [more, set_more] = useState(0);
  const limit = page * 2 ** more;
  const row_height = useRef<Guess>({ narrow, pixels: 0 });
  if (row_height.current.narrow !== narrow) row_height.current = { narrow, pixels: 0 };
  if (rows.length === 0) return <div class="empty">{empty}</div>;

  const by = columns.find((column) => column.id === order.column)?.value;
  const all = by ? sorted(rows, by, key_of, order.descending) : rows;
  const hidden = all.length - limit;
  const sort_by = (column: Column<Row>) =>
    // Numbers are looked at from the top, words from A.
    set_order({ column: column.id, descending: order.column === column.id ? !order.descending : column.numeric === true });

  const draw = (row: Row, place: number) => {
    const key = key_of(row);
    return (
      <tr
        key={key}
        role="row"
        aria-rowindex={short ? undefined : before + place}
        class={key === selected ? "selected" : ""}
        onClick={select && ((event) => (event.target as Element).closest("a") || select(row))}
      >
        {columns.map((column, place) =>
          place === 0 ? (
            <th key={column.id} role="rowheader" scope="row">
              {column.cell(row)}
            </th>
          ) : (
            <td key={column.id} role="cell" class={`${column.numeric ? "number" : ""} of-${column.id}`} data-label={column.title}>
              {column.cell(row)}
            </td>
          ),
        )}
      </tr>
    );
  };
  const shown = all.slice(0, limit);
  const short = all.length <= all_drawn;
  const before = first ? 3 : 2; // what stands above the rows has numbers too
  const blocks: Row[][] = [];
  for (let at = 0; at < shown.length; at += block) blocks.push(shown.slice(at, at + block));

  // The roles are there because on a phone the rows are laid out as cards, and CSS must not take the table away.
  return (
    <>
      <SortBox columns={columns} order={order} set_order={set_order} caption={caption} />
      <table role="table" class={select ? "selectable" : ""} aria-rowcount={short ? undefined : before - 1 + shown.length}>
        <caption>{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <th
                key={column.id}
                role="columnheader"
                scope="col"
                class={`${column.numeric ? "number" : ""} of-${column.id}`}
                aria-sort={order.column !== column.id || !column.value ? undefined : order.descending ? "descending" : "ascending"}
              >
                {column.value ? (
                  <button type="button" aria-label={column.spoken} onClick={() => sort_by(column)}>
                    {column.title}
                  </button>
                ) : (
                  column.title
                )}
              </th>
            ))}
          </tr>
        </thead>
        {first && <tbody role="rowgroup">{first}</tbody>}
        {blocks.map((some, place) => (
          <Block key={place} count={some.length} always={short || place === 0} row_height={row_height}>
            {() => some.map((row, i) => draw(row, place * block + i))}
          </Block>
        ))}
      </table>
      {hidden > 0 && (
        <button type="button" class="more" onClick={() => set_more(more + 1)}>
          Show {count(Math.min(limit, hidden))} more of {count(hidden)}
        </button>
      )}
    </>
  );
}

/**
 * How tall a row is that was never drawn: as those that were measured first, for as long as the page is as wide. Were it
 * to follow what is drawn, every change would move all rows below, other rows would come near, and so on for ever.
 */
interface Guess {
  narrow: boolean;
  pixels: number;
}

/**
 * Some rows of a long table: drawn while they are near what is looked at, and else an empty row as tall as they are.
 *
 * The browser tells when they come and go, so nothing is computed while a person scrolls, and it does not matter who
 * scrolls: the panel on a wall, the page on a phone.
 */
function Block({ count, always, row_height, children }: {
  count: number;
  /** Drawn wherever it is: the first rows, since a table without rows is none, and all of a short table. */
  always: boolean;
  row_height: { current: Guess };
  children: () => ComponentChildren;
}) {
  const body = useRef<HTMLTableSectionElement>(null);
  const [near, set_near] = useState(always);
  const own_height = useRef(0);
  useLayoutEffect(() => {
    if (always) return;
    const observer = new IntersectionObserver(
      // A row that has the focus stays, or the keyboard would be back at the top of the page.
      (entries) => set_near(entries.at(-1)!.isIntersecting || body.current!.contains(document.activeElement)),
      { rootMargin: margin, scrollMargin: margin },
    );
    observer.observe(body.current!);
    return () => observer.disconnect();
  }, [always]);
  useLayoutEffect(() => {
    if (!always && !near) return;
    own_height.current = body.current!.offsetHeight / count;
    row_height.current.pixels ||= own_height.current;
  }, [always || near, count]);
  if (always || near) return <tbody role="rowgroup" ref={body}>{children()}</tbody>;
  return (
    <tbody role="rowgroup" ref={body} aria-hidden="true">
      <tr class="left-out" style={{ height: `${count * (own_height.current || row_height.current.pixels || 28)}px` }}><td /></tr>
    </tbody>
  );
}

/** The headings' work on a phone, where there are none. */
function SortBox<Row>({ columns, order, set_order, caption }: {
  columns: readonly Column<Row>[];
  order: Order;
  set_order: (order: Order) => void;
  caption: string;
}) {
  const chosen = columns.find((column) => column.id === order.column);
  return (
    <div class="sort-box">
      <label>
        Sort by{" "}
        <select
          aria-label={`Sort: ${caption}`}
          value={order.column}
          onChange={(event) => {
            const column = columns.find(({ id }) => id === event.currentTarget.value);
            if (column) set_order({ column: column.id, descending: column.numeric === true });
          }}
        >
          {columns.map((column) => column.value && <option key={column.id} value={column.id}>{column.spoken ?? column.title}</option>)}
        </select>
      </label>
      <button
        type="button"
        aria-label={`Order: ${order.descending ? "descending" : "ascending"}. ${chosen?.spoken ?? chosen?.title ?? ""}`}
        onClick={() => set_order({ ...order, descending: !order.descending })}
      >
        {order.descending ? "↓" : "↑"}
      </button>
    </div>
  );
}
