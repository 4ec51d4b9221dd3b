import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
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
  /** Rows shown at first, and added by "show more". */
  step: number;
  empty: ComponentChildren;
  selected?: string;
  select?: (row: Row) => void;
  /** Stands above the rows, as a row of its own. */
  first?: ComponentChildren;
}

/** A table that is sorted by its headings. Draws some rows only: thousands would make every update slow. */
export function Table<Row>({ caption, columns, rows, key_of, order: initial, step, empty, selected, select, first }: Shown<Row>) {
  const [order, set_order] = useState(initial);
  const page = useNarrow() ? Math.ceil(step / 6) : step;
  const [more, set_more] = useState(0);
  const limit = page * (1 + more);
  if (rows.length === 0) return <div class="empty">{empty}</div>;

  const by = columns.find((column) => column.id === order.column)?.value;
  const all = by ? sorted(rows, by, key_of, order.descending) : rows;
  const hidden = all.length - limit;
  const sort_by = (column: Column<Row>) =>
    // Numbers are looked at from the top, words from A.
    set_order({ column: column.id, descending: order.column === column.id ? !order.descending : column.numeric === true });

  // The roles are there because on a phone the rows are laid out as cards, and CSS must not take the table away.
  return (
    <>
      <SortBox columns={columns} order={order} set_order={set_order} caption={caption} />
      <table role="table" class={select ? "selectable" : ""}>
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
        <tbody role="rowgroup">
          {first}
          {all.slice(0, limit).map((row) => {
            const key = key_of(row);
            return (
              <tr
                key={key}
                role="row"
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
          })}
        </tbody>
      </table>
      {hidden > 0 && (
        <button type="button" class="more" onClick={() => set_more(more + 1)}>
          Show {count(Math.min(page, hidden))} more of {count(hidden)}
        </button>
      )}
    </>
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
