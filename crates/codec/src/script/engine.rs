//! One call of a script in an engine made for it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::{
    CatchResultExt as _, CaughtError, Context, Ctx, Error, Function, Object, Runtime, Type, Value,
};

use rustix::time::{ClockId, clock_gettime};

use super::values;
use super::{Functions, ScriptHost};
use crate::error::{DefinitionError, ScriptError};

const PRELUDE: &str = include_str!("prelude.js");
/// The name of the script in the engine's stack traces.
const NAME: &str = "codec.js";

/// Which functions the script defines.
pub(super) fn functions(host: &ScriptHost, source: &str) -> Result<Functions, DefinitionError> {
    let found = run(host, source, |ctx, _| {
        let is = |name| ctx.eval::<bool, _>(format!("typeof {name} === 'function'"));
        Ok(Functions {
            decode: is("decode")?,
            encode: is("encode")?,
            answer: is("answer")?,
        })
    })?;
    Ok(found)
}

/// Calls `function` with a message and returns its bytes.
pub(super) fn bytes(
    host: &ScriptHost,
    source: &str,
    function: &str,
    message: &str,
) -> Result<Option<Vec<u8>>, ScriptError> {
    let returned = run(host, source, |ctx, prelude| {
        let input: Value<'_> = prelude.get::<_, Function<'_>>("message")?.call((message,))?;
        let output: Value<'_> = ctx.eval::<Function<'_>, _>(function)?.call((input,))?;
        values::bytes(&prelude, output)
    })?;
    returned.map_err(|why| ScriptError::Contract(format!("{function} {why}")))
}

/// Calls `decode` with a device's bytes and returns the JSON that it makes of them.
pub(super) fn message(
    host: &ScriptHost,
    source: &str,
    bytes: &[u8],
    topic: Option<&str>,
) -> Result<String, ScriptError> {
    let returned = run(host, source, |ctx, prelude| {
        let list = values::list(bytes);
        let input: Value<'_> = prelude.get::<_, Function<'_>>("bytes")?.call((list,))?;
        let output: Value<'_> = ctx.eval::<Function<'_>, _>("decode")?.call((input, topic))?;
        values::text(&prelude, output)
    })?;
    returned.map_err(|why| ScriptError::Contract(format!("decode {why}")))
}

/// Makes an engine, evaluates the script, and works with what it defines.
fn run<T>(
    host: &ScriptHost,
    source: &str,
    work: impl for<'js> FnOnce(&Ctx<'js>, Object<'js>) -> Result<T, Error>,
) -> Result<T, ScriptError> {
    let late = Rc::new(Cell::new(false));
    let runtime = Runtime::new().map_err(|_| out_of_memory(host))?;
    runtime.set_memory_limit(host.memory);
    runtime.set_max_stack_size(host.stack);
    let (end, flag) = (worked() + host.time, Rc::clone(&late));
    runtime.set_interrupt_handler(Some(Box::new(move || {
        flag.set(flag.get() || worked() >= end);
        flag.get()
    })));
    let context = context(&runtime).map_err(|_| out_of_memory(host))?;
    context.with(|ctx| {
        let done = evaluate(&ctx, source).and_then(|prelude| work(&ctx, prelude));
        done.catch(&ctx).map_err(|error| match late.get() {
            true => ScriptError::Time {
                ms: u64::try_from(host.time.as_millis()).unwrap_or(u64::MAX),
            },
            false => told(host, &error),
        })
    })
}

/// How long this thread has worked. The wall's clock would end good scripts wherever a machine is busy.
pub(super) fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is below zero.
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

fn out_of_memory(host: &ScriptHost) -> ScriptError {
    ScriptError::Memory { bytes: host.memory }
}

/// No proxies and weak references: a codec has no use for them, and they make the prelude's checks a guess.
fn context(runtime: &Runtime) -> Result<Context, Error> {
    Context::builder()
        .with::<intrinsic::Date>()
        .with::<intrinsic::Eval>()
        .with::<intrinsic::RegExpCompiler>()
        .with::<intrinsic::RegExp>()
        .with::<intrinsic::Json>()
        .with::<intrinsic::MapSet>()
        .with::<intrinsic::TypedArrays>()
        .with::<intrinsic::Promise>()
        .build(runtime)
}

fn evaluate<'js>(ctx: &Ctx<'js>, source: &str) -> Result<Object<'js>, Error> {
    let prelude = ctx.eval_with_options(PRELUDE, options("prelude.js"))?;
    ctx.eval_with_options::<(), _>(source, options(NAME))?;
    Ok(prelude)
}

/// Not strict: many scripts for the platform forget a `var`.
fn options(name: &str) -> EvalOptions {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(name.to_owned());
    options
}

fn told(host: &ScriptHost, error: &CaughtError<'_>) -> ScriptError {
    match error {
        CaughtError::Exception(exception) => {
            let message = exception.message().unwrap_or_default();
            let line = exception.stack().and_then(|stack| line(&stack));
            match message.as_str() {
                "out of memory" | "string too long" | "invalid array buffer length" => out_of_memory(host),
                "Maximum call stack size exceeded" => ScriptError::Depth { line },
                _ => ScriptError::Thrown {
                    line,
                    message: values::cut(&message),
                },
            }
        }
        // The engine had not even the memory for an error.
        CaughtError::Value(value) if value.is_null() || value.type_of() == Type::Uninitialized => {
            out_of_memory(host)
        }
        CaughtError::Value(value) => ScriptError::Thrown {
            line: None,
            message: format!("threw {}", values::shown(value)),
        },
        CaughtError::Error(error) => ScriptError::Contract(error.to_string()),
    }
}

/// The innermost line of the script itself: `    at decode (codec.js:3:14)`.
fn line(stack: &str) -> Option<usize> {
    let place = stack.lines().find_map(|frame| frame.split_once(NAME))?.1;
    place.strip_prefix(':')?.split([':', ')']).next()?.parse().ok()
}
