const BARS = "▁▂▃▄▅▆▇█";
const MOST_COLUMNS: u32 = 240;

/** The mean of each of `width` stretches of the series, which are equally long; a short series is stretched. */
function resample(series: StaticArray<f64>, width: u32): StaticArray<f64> {
  const means = new StaticArray<f64>(width);
  const length = u64(series.length);
  for (let column: u64 = 0; column < width; column++) {
    const from = (column * length) / width;
    const to = max(from + 1, ((column + 1) * length) / width);
    let sum: f64 = 0;
    for (let i = from; i < to; i++) sum += series[u32(i)];
    means[u32(column)] = sum / f64(to - from);
  }
  return means;
}

function bars(means: StaticArray<f64>): string {
  let least = Infinity;
  let greatest = -Infinity;
  for (let i = 0; i < means.length; i++) {
    least = min(least, means[i]);
    greatest = max(greatest, means[i]);
  }
  const scale = greatest > least ? f64(BARS.length - 1) / (greatest - least) : 0;
  const drawn = new Array<string>(means.length);
  for (let i = 0; i < means.length; i++) drawn[i] = BARS.charAt(i32(Math.round((means[i] - least) * scale)));
  return drawn.join("");
}

function isFiniteSeries(series: StaticArray<f64>): bool {
  for (let i = 0; i < series.length; i++) if (!isFinite(series[i])) return false;
  return true;
}

// ---- The canonical ABI of wit/world.wit, for which AssemblyScript has no generator ----

const returned = memory.data(12, 4); // result<string, string>: discriminant, pointer, length in code units
let pinned: usize = 0;

/** Called by the host to allocate memory for arguments. */
export function cabi_realloc(old: usize, oldSize: usize, alignment: usize, newSize: usize): usize {
  return old == 0 ? heap.alloc(newSize) : heap.realloc(old, newSize);
}

/** Strings are UTF-16 in AssemblyScript, and the component says so: the host reads them as they are. */
function give(isErr: bool, text: string): usize {
  pinned = __pin(changetype<usize>(text));
  store<u8>(returned, isErr ? 1 : 0);
  store<usize>(returned, pinned, 4);
  store<usize>(returned, text.length, 8);
  return returned;
}

export function draw(data: usize, length: usize, width: u32): usize {
  const series = new StaticArray<f64>(i32(length));
  // The numbers are laid out in memory like an array of f64.
  memory.copy(changetype<usize>(series), data, length << 3);
  heap.free(data);
  if (length == 0) return give(true, "there is nothing to draw");
  if (!isFiniteSeries(series)) return give(true, "not all numbers are finite");
  if (width > MOST_COLUMNS) return give(true, "a line has at most 240 columns");
  if (width == 0) return give(false, "");
  return give(false, bars(resample(series, width)));
}

/** Called when the host has read the result, which is garbage from then on. */
export function cabi_post_draw(result: usize): void {
  __unpin(pinned);
}
