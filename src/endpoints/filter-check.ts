import type { Constant, Expr, Expr_Call, Expr_Comprehension } from '@bufbuild/cel-spec/cel/expr/syntax_pb.js'
import { typeOfCall, typeOfOperator, Unfit } from './filter-calls.ts'
import {
  ANY,
  JSON_KINDS,
  KIND,
  named,
  nearest,
  OPERATORS,
  TYPE_NAMES,
  type Type,
  VARIABLES,
} from './filter-language.ts'

type ConstantKind = Constant['constantKind']

const MOST_PARTS = 500
const MOST_LOOPS = 2
const { BOOL, STRING, INT, UINT, DOUBLE, NULL, LIST, MAP, TYPE } = KIND
const ANYTHING: Type = { kinds: ANY, entries: ANY }

/** What names mean in a part of a filter. `loops`: how many are around it. */
type Scope = { names: Record<string, Type>; loops: number; count: { parts: number } }

/**
 * Refuses a filter that names what there is not, could never be true or false, or is too large; throws `Unfit`. `pattern` is
 * told of each regular expression, and throws what is wrong with it.
 */
export function checkExpression(expr: Expr, pattern: (text: string) => void): void {
  const { kinds } = typeOf(expr, { names: VARIABLES, loops: 0, count: { parts: 0 } }, pattern)
  if ((kinds & BOOL) === 0) throw new Unfit(expr, `A filter must be true or false; this is ${named(kinds)}.`)
}

function typeOf(expr: Expr, scope: Scope, pattern: (text: string) => void): Type {
  if (++scope.count.parts > MOST_PARTS) throw new Unfit(expr, `A filter has at most ${MOST_PARTS} parts.`)
  const below = (part: Expr | undefined) => typeOf(part as Expr, scope, pattern)
  const { exprKind } = expr
  switch (exprKind.case) {
    case 'constExpr':
      return typeOfConstant(expr, exprKind.value.constantKind)
    case 'identExpr':
      return typeOfName(expr, exprKind.value.name, scope)
    case 'selectExpr': {
      const { kinds, entries } = below(exprKind.value.operand)
      if ((kinds & MAP) === 0) throw new Unfit(expr, `There are no fields in ${named(kinds)}.`)
      return exprKind.value.testOnly ? { kinds: BOOL, entries: 0 } : { kinds: entries, entries: belowOf(entries) }
    }
    case 'listExpr': {
      const entries = exprKind.value.elements.reduce((union, element) => union | below(element).kinds, 0)
      return { kinds: LIST, entries }
    }
    case 'structExpr': {
      if (exprKind.value.messageName !== '') {
        throw new Unfit(expr, `"${exprKind.value.messageName}" is not known: a filter makes no messages.`)
      }
      for (const { keyKind, value } of exprKind.value.entries) {
        below(keyKind.value as Expr)
        below(value)
      }
      return { kinds: MAP, entries: ANY }
    }
    case 'comprehensionExpr':
      return typeOfLoop(expr, exprKind.value, scope, pattern)
    case 'callExpr':
      return typeOfAnyCall(expr, exprKind.value, scope, pattern)
    default:
      throw new Unfit(expr, 'This is not known in a filter.')
  }
}

/** What is in an entry that may be a list or a map: out of a payload comes nothing else than JSON. */
const belowOf = (entries: number) => ((entries & ~JSON_KINDS) === 0 ? JSON_KINDS : ANY)

function typeOfConstant(expr: Expr, { case: kind, value }: ConstantKind): Type {
  if (typeof value === 'bigint' && BigInt.asIntN(64, value) !== value) {
    throw new Unfit(expr, 'The number is too large for a whole one: write it with a fraction, like 1.0.')
  }
  const kinds = {
    stringValue: STRING,
    doubleValue: DOUBLE,
    boolValue: BOOL,
    int64Value: INT,
    uint64Value: UINT,
    nullValue: NULL,
  }
  if (kind === undefined || !Object.hasOwn(kinds, kind)) throw new Unfit(expr, 'Bytes are not known in a filter.')
  return { kinds: kinds[kind as keyof typeof kinds], entries: 0 }
}

function typeOfName(expr: Expr, name: string, { names }: Scope): Type {
  if (Object.hasOwn(names, name)) return names[name] as Type
  if (TYPE_NAMES.includes(name)) return { kinds: TYPE, entries: 0 }
  const known = Object.keys(names).filter((one) => !one.startsWith('@'))
  const meant = nearest(name, known)
  const hint = meant ? `Did you mean ${meant}?` : `What is in the payload is payload.${name}.`
  throw new Unfit(expr, `There is no ${name} in a filter: it has ${known.join(', ')}. ${hint}`)
}

function typeOfAnyCall(expr: Expr, call: Expr_Call, scope: Scope, pattern: (text: string) => void): Type {
  const { target } = call
  if (target === undefined && Object.hasOwn(OPERATORS, call.function)) {
    const operands = call.args.map((arg) => ({ at: arg, ...typeOf(arg, scope, pattern) }))
    return typeOfOperator(expr, call.function, operands)
  }
  // It is in every loop; its argument is looked at as all others.
  if (call.function === '@not_strictly_false') {
    typeOf(call.args[0] as Expr, scope, pattern)
    return { kinds: BOOL, entries: 0 }
  }
  // Before what stands in its brackets: a name that is none there is what is wrong with the call.
  const checked = typeOfCall(expr, call)
  const on = target && typeOf(target, scope, pattern)
  const args = call.args.map((arg) => ({ at: arg, ...typeOf(arg, scope, pattern) }))
  if (call.function === 'matches') readPattern(call.args[0] as Expr, pattern)
  return checked(on, args)
}

function readPattern(arg: Expr, pattern: (text: string) => void): void {
  const { exprKind } = arg
  if (exprKind.case !== 'constExpr' || exprKind.value.constantKind.case !== 'stringValue') {
    throw new Unfit(arg, 'The pattern of matches() must be a text that stands here: no payload brings its own.')
  }
  try {
    pattern(exprKind.value.constantKind.value)
  } catch (error) {
    throw new Unfit(arg, (error as Error).message)
  }
}

/** A macro that walks a list, or the keys of an object: one name for its entries, and what the reader of texts made of it. */
function typeOfLoop(expr: Expr, loop: Expr_Comprehension, scope: Scope, pattern: (text: string) => void): Type {
  const loops = scope.loops + 1
  if (loops > MOST_LOOPS) throw new Unfit(expr, `Loops nest at most ${MOST_LOOPS} deep.`)
  const range = typeOf(loop.iterRange as Expr, scope, pattern)
  if ((range.kinds & (LIST | MAP)) === 0)
    throw new Unfit(loop.iterRange as Expr, `${capital(named(range.kinds))} has no entries.`)
  const entry =
    (range.kinds & MAP) === 0 ? { kinds: range.entries, entries: belowOf(range.entries) } : ANYTHING_OF(range)
  const start = typeOf(loop.accuInit as Expr, scope, pattern)
  const result = (start.kinds & LIST) === 0 ? start : { kinds: LIST, entries: ANY }
  const inside = { ...scope, loops, names: { ...scope.names, [loop.iterVar]: entry, [loop.accuVar]: result } }
  typeOf(loop.loopCondition as Expr, inside, pattern)
  typeOf(loop.loopStep as Expr, inside, pattern)
  return typeOf(loop.result as Expr, inside, pattern)
}

/** An entry of a list, or a key of an object. */
const ANYTHING_OF = ({ entries }: Type): Type =>
  entries === JSON_KINDS ? { kinds: JSON_KINDS, entries: JSON_KINDS } : ANYTHING

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
