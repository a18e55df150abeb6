// Amounts: decimal strings, exact. There is no way from here to a floating-point number, on purpose.

const WHOLE_DIGITS_MAX = 60
const FRACTION_DIGITS_MAX = 40
const DECIMAL = /^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?$/

/** A decimal with its fraction as digits below the point. */
interface Decimal {
  digits: bigint
  scale: number
}

/** Whether a text is a decimal, with `-` before it or not, of however many digits. */
export function isDecimal (text: string): boolean {
  return DECIMAL.test(text)
}

/** Whether a text may stand as `amount` in an IOU: no sign, no exponent, at most 60 digits before and 40 after the point. */
export function isAmount (text: string): boolean {
  // A number would be read as the text it prints as, and hashed as the number it is.
  const [, sign, whole, fraction] = (typeof text === 'string' ? DECIMAL.exec(text) : null) ?? []
  return sign === '' && whole!.length <= WHOLE_DIGITS_MAX && (fraction ?? '').length <= FRACTION_DIGITS_MAX
}

/** The sum, in shortest form. */
export function add (a: string, b: string): string {
  const [x, y, scale] = aligned(a, b)
  return write(x + y, scale)
}

/** The difference, in shortest form. */
export function subtract (a: string, b: string): string {
  const [x, y, scale] = aligned(a, b)
  return write(x - y, scale)
}

/** Negative, 0 or positive as `a` is below, equal to or above `b`. Knows `Infinity` and `-Infinity`, which limits may be. */
export function compare (a: string, b: string): -1 | 0 | 1 {
  const [infinityOfA, infinityOfB] = [infinity(a), infinity(b)]
  if (infinityOfA !== 0 || infinityOfB !== 0) return sign(infinityOfA - infinityOfB)
  const [x, y] = aligned(a, b)
  return x < y ? -1 : x > y ? 1 : 0
}

function infinity (text: string): number {
  return text === 'Infinity' ? 1 : text === '-Infinity' ? -1 : 0
}

function sign (difference: number): -1 | 0 | 1 {
  return difference < 0 ? -1 : difference > 0 ? 1 : 0
}

function aligned (a: string, b: string): [bigint, bigint, number] {
  const [x, y] = [read(a), read(b)]
  const scale = Math.max(x.scale, y.scale)
  const at = (decimal: Decimal) => decimal.digits * 10n ** BigInt(scale - decimal.scale)
  return [at(x), at(y), scale]
}

function read (text: string): Decimal {
  const [, sign, whole, fraction = ''] = DECIMAL.exec(text) ?? []
  if (whole === undefined) throw new Error(`${JSON.stringify(text)} is not a decimal`)
  const digits = BigInt(whole + fraction)
  return { digits: sign === '-' ? -digits : digits, scale: fraction.length }
}

function write (digits: bigint, scale: number): string {
  const sign = digits < 0n ? '-' : ''
  const all = (digits < 0n ? -digits : digits).toString().padStart(scale + 1, '0')
  const fraction = all.slice(all.length - scale).replace(/0+$/, '')
  const whole = all.slice(0, all.length - scale)
  return sign + (scale > 0 && fraction !== '' ? `${whole}.${fraction}` : whole)
}
