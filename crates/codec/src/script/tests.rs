//! Scripts as people write them, and as nobody should.

use std::time::Duration;

use downlink_core::Mid;

use super::*;
use crate::message::{Command, CommandResult, ReportAnswer};
use crate::{Codec, DefinitionError};

const LEGACY: &str = r#"
function decode(payload) {
    if (payload[0] === 4) {
        return { msgType: 'deviceRsp', mid: payload[1] << 8 | payload[2], errcode: payload[3], body: { state: payload[4] } };
    }
    return { msgType: 'deviceReq', hasMore: payload[1], data: [{ serviceId: 'Lamp', serviceData: { lux: payload[2] } }] };
}
function encode(message) {
    if (message.msgType !== 'cloudReq' || message.cmd !== 'SWITCH') return null;
    return [3, message.mid >> 8, message.mid & 0xff, message.paras.value];
}
function answer(message) {
    return new Uint8Array([0xaa, 0xaa, message.errcode, message.hasMore, message.request.length]);
}
"#;

/// As they were written for the platform's own script codecs: texts of JSON in both directions.
const LATER: &str = r#"
var MSG = 'commands';
function decode(payload, topic) {
    jsonObj = {};
    var bytes = new Uint8Array(payload.length);
    for (var i = 0; i < payload.length; i++) bytes[i] = payload[i] & 0xff;
    var view = new DataView(bytes.buffer, 0);
    jsonObj['msg_type'] = 'command_response';
    jsonObj['request_id'] = view.getInt16(1);
    jsonObj['result_code'] = view.getInt8(3);
    jsonObj['paras'] = { topic: topic || 'none' };
    return JSON.stringify(jsonObj);
}
function encode(json) {
    var jsonObj = JSON.parse(json);
    let payload = [];
    if (jsonObj.msg_type == MSG) {
        payload = payload.concat([0x83 - 256], [jsonObj.request_id >> 8, jsonObj.request_id & 255]);
        payload = payload.concat([jsonObj.paras.value]);
    }
    return payload;
}
"#;

fn script(source: &str) -> Codec {
    Codec::from_script(source).unwrap_or_else(|error| panic!("{error}"))
}

fn command(name: &str) -> ToDevice<'_> {
    ToDevice::Command(Command {
        identifier: None,
        service: "Lamp",
        command: name,
        paras: r#"{"value":1}"#,
        mid: Mid::new(42),
        has_more: false,
    })
}

fn host() -> ScriptHost {
    ScriptHost::default()
}

fn encoded(source: &str) -> Result<Option<Vec<u8>>, EncodeError> {
    script(source).encode(&host(), &command("SWITCH"))
}

fn decoded(source: &str, bytes: &[u8]) -> Result<FromDevice, DecodeError> {
    script(source).decode(&host(), bytes, None)
}

#[test]
fn scripts_of_the_legacy_form() {
    assert_eq!(encoded(LEGACY), Ok(Some(vec![3, 0, 42, 1])));
    assert_eq!(script(LEGACY).encode(&host(), &command("DANCE")), Ok(None));
    let answer = ToDevice::ReportAnswer(ReportAnswer {
        identifier: None,
        request: &[1, 2, 3],
        errcode: 0,
        has_more: true,
    });
    assert_eq!(
        script(LEGACY).encode(&host(), &answer),
        Ok(Some(vec![0xaa, 0xaa, 0, 1, 3]))
    );
    let want = CommandResult {
        identifier: None,
        mid: Mid::new(42),
        errcode: 0,
        body: Some(r#"{"state":1}"#.to_owned()),
    };
    assert_eq!(decoded(LEGACY, &[4, 0, 42, 0, 1]), Ok(FromDevice::Result(want)));
    match decoded(LEGACY, &[0, 1, 7]).unwrap() {
        FromDevice::Report(report) => {
            assert!(report.has_more);
            assert_eq!(report.data[0].data, r#"{"lux":7}"#);
        }
        other @ FromDevice::Result(_) => panic!("{other:?}"),
    }
}

#[test]
fn scripts_of_the_later_form() {
    assert_eq!(encoded(LATER), Ok(Some(vec![0x83, 0, 42, 1])));
    let result = |topic| match script(LATER).decode(&host(), &[4, 0, 42, 1], topic).unwrap() {
        FromDevice::Result(result) => (result.mid, result.errcode, result.body.unwrap()),
        other @ FromDevice::Report(_) => panic!("{other:?}"),
    };
    assert_eq!(result(None), (Mid::new(42), 1, r#"{"topic":"none"}"#.to_owned()));
    assert_eq!(result(Some("a/b")).2, r#"{"topic":"a/b"}"#);
    // It knows nothing of answers to reports, and is not asked for one.
    let answer = ToDevice::ReportAnswer(ReportAnswer {
        identifier: None,
        request: &[],
        errcode: 0,
        has_more: false,
    });
    assert_eq!(script(LATER).encode(&host(), &answer), Ok(None));
}

#[test]
fn every_form_of_bytes() {
    for source in [
        "[1, -1, 255]",
        "new Uint8Array([1, 255, 255])",
        "new Int8Array([1, -1, -1])",
        "new Uint8Array([1, 255, 255]).buffer",
        "new DataView(new Uint8Array([1, 255, 255]).buffer)",
    ] {
        let source = format!("function encode() {{ return {source}; }}");
        assert_eq!(encoded(&source), Ok(Some(vec![1, 255, 255])), "{source}");
    }
    assert_eq!(
        encoded("const encode = () => 'é'"),
        Ok(Some("é".as_bytes().to_vec()))
    );
    for nothing in ["null", "undefined", "[]", "''"] {
        assert_eq!(
            encoded(&format!("function encode() {{ return {nothing}; }}")),
            Ok(None)
        );
    }
}

fn complaint(source: &str) -> String {
    encoded(source).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let source = "function encode(m) {\n  var a = 1;\n  return m.paras.nothing.more;\n}";
    assert!(complaint(source).starts_with("line 3: "), "{}", complaint(source));
    assert_eq!(complaint("function encode() { throw 'a'; }"), "threw \"a\"");
    assert_eq!(
        complaint("function encode() { return [1, 256]; }"),
        "encode returned 256 at [1]; bytes are whole numbers from -128 to 255"
    );
    assert_eq!(
        complaint("function encode() { return {}; }"),
        "encode returned object; it has to return a list of numbers"
    );
    assert_eq!(
        complaint("function decode() {}"),
        "the script has no function encode"
    );
    let decode = |body: &str| {
        decoded(&format!("function decode() {{ return {body}; }}"), &[])
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        decode("1"),
        "decode returned 1; it has to return an object or its JSON"
    );
    assert_eq!(
        decode("{msgType: 'deviceReq'}"),
        "what decode returned: data: is missing: the services with what they report"
    );
    assert!(decode("'{'").starts_with("what decode returned: the message: must be"));
}

#[test]
fn scripts_that_cannot_be_used_are_refused() {
    let refused = |source| match Codec::from_script(source) {
        Err(error) => error,
        Ok(codec) => panic!("{codec:?}"),
    };
    let error = refused("function decode() {\n  var = 1;\n}");
    assert!(
        matches!(
            &error,
            DefinitionError::Script(ScriptError::Thrown { line: Some(2), .. })
        ),
        "{error:?}"
    );
    assert!(
        refused("var a = 1;")
            .to_string()
            .contains("neither a function decode nor")
    );
    let error = refused("for (;;);");
    assert!(
        matches!(error, DefinitionError::Script(ScriptError::Time { .. })),
        "{error:?}"
    );
}

#[test]
fn scripts_in_documents() {
    let document = serde_json::json!({"kind": "javascript", "source": LEGACY}).to_string();
    assert_eq!(Codec::from_document(&document).unwrap(), script(LEGACY));
}

/// How long a call may take: what the script may run, and as much again for the engine to come and go.
const WITHIN: Duration = Duration::from_millis(50);

/// Runs a hostile body of `encode`. Time is this thread's own: other tests run beside it.
fn hostile(body: &str) -> ScriptError {
    hostile_within(WITHIN, body)
}

/// What a body of `encode` takes of this thread's time, and what comes of it.
fn worked(body: &str) -> (Duration, Result<Option<Vec<u8>>, EncodeError>) {
    let codec = script(&format!("function encode(m) {{ {body} }}"));
    let begun = engine::worked();
    let done = codec.encode(&host(), &command("SWITCH"));
    (engine::worked() - begun, done)
}

fn hostile_within(within: Duration, body: &str) -> ScriptError {
    let (took, done) = worked(body);
    assert!(took < within, "{body}: {took:?} of {within:?}");
    match done {
        Err(EncodeError::Script(error)) => error,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn endless_loops_end() {
    for body in [
        "for (;;);",
        "for (;;) try { for (;;); } catch (e) {}",
        "for (;;) try { null.x } finally { continue; }",
        "(function f() { for (;;) try { f(); } catch (e) {} })()",
        "m.paras.toJSON = function () { for (;;); }; return JSON.stringify(m);",
        "return { get length() { for (;;); } }.length;",
        "var a = [1]; a.__defineGetter__(0, function () { for (;;); }); return a;",
    ] {
        assert!(matches!(hostile(body), ScriptError::Time { ms: 20 }), "{body}");
    }
}

#[test]
fn backtracking_ends() {
    for body in [
        "return /^(a+)+$/.test('a'.repeat(50) + 'b');",
        "for (;;) /(a+)+b/.test('aaaaaaaaaaaa');",
        "return ('a'.repeat(50) + 'b').replace(/(a|a)*c/g, '');",
    ] {
        assert!(matches!(hostile(body), ScriptError::Time { .. }), "{body}");
    }
}

#[test]
fn growth_ends() {
    for body in [
        "var s = 'a'; for (;;) s += s;",
        "var s = 'a'; for (;;) { s += s; s.charCodeAt(s.length - 1); }",
        "var a = []; for (;;) a.push(new Uint8Array(100000));",
        "return new Uint8Array(1e9);",
    ] {
        assert!(
            matches!(
                hostile(body),
                ScriptError::Memory { .. } | ScriptError::Time { .. }
            ),
            "{body}"
        );
    }
    let body = "var s = 'a'; for (;;) try { s += s; } catch (e) { }";
    assert!(matches!(hostile(body), ScriptError::Time { .. }));
}

#[test]
fn recursion_ends() {
    assert_eq!(
        hostile("(function f() { f(); })()"),
        ScriptError::Depth { line: Some(1) }
    );
    for body in [
        "JSON.parse('['.repeat(900000));",
        "var a = []; for (var i = 0; i < 100000; i++) a = [a]; return JSON.stringify(a);",
        "eval('('.repeat(900000));",
    ] {
        hostile(body);
    }
}

#[test]
fn results_that_are_too_long_are_refused() {
    hostile("var s = 'abcdefghij'; while (s.length < 1e7) s += s; return s;");
    hostile("return new Uint8Array(1e7);");
    hostile("return new Uint8Array(70000);");
    hostile("var a = []; a.length = 1e7; return a;");
    let source = "function decode() { return {msgType: 'deviceRsp', body: {a: 'x'.repeat(300000)}}; }";
    let error = decoded(source, &[]).unwrap_err().to_string();
    assert_eq!(error, "decode returned more than 262144 bytes");
}

#[test]
fn promises_are_refused() {
    for body in [
        "return new Promise(function () {});",
        "return (async function () { return [1]; })();",
    ] {
        let why = hostile(body).to_string();
        assert!(why.contains("a promise"), "{why}");
    }
    let error = decoded("async function decode() { return {}; }", &[]).unwrap_err();
    assert!(error.to_string().contains("a promise"));
}

/// Functions of the engine that work long within one call.
#[test]
fn long_work_within_the_engine_ends() {
    for body in [
        "var s = 'a'.repeat(900000); for (;;) s.indexOf('b');",
        "var s = 'a'.repeat(900000); for (;;) s.split('b');",
        "Array(4294967295).reverse();",
        "Array(4294967295).join();",
        "var a = Array(4294967295); a.concat(a);",
        "[].indexOf.call({ length: 1e15 }, 1);",
        "Array.prototype.reverse.call({ length: 1e15 });",
        "var n = 0; [].fill.call({ get length() { return n++ ? 1e15 : 0; } }, 1); for (;;);",
        "var u = new Uint8Array(900000); for (;;) u.fill(1);",
        "var a = []; for (var i = 0; i < 50000; i++) a.push(i % 7); for (;;) a.sort();",
        "var s = '['.repeat(50000); for (;;) try { JSON.parse(s); } catch (e) {}",
        "for (;;) 'abc'.padStart(900000);",
        "return BigInt(3) ** BigInt(600000);",
    ] {
        hostile(body);
    }
}

/// What nothing interrupts comes on top, however long this machine takes for it: on a busy one the two together were more than 50 ms.
#[test]
fn a_long_step_of_the_engine_is_the_last() {
    let text = "var s = '\\u0344'.repeat(100000);";
    let (step, _) = worked(&format!("{text} s.normalize('NFD'); return 1;"));
    hostile_within(WITHIN + step, &format!("{text} for (;;) s.normalize('NFD');"));
}

#[test]
fn nothing_is_kept_between_calls() {
    let source = "
        var calls = 0;
        function encode() {
            calls++;
            var seen = globalThis.kept || Array.prototype.kept || JSON.kept || 0;
            globalThis.kept = 100; Array.prototype.kept = 100; JSON.kept = 100;
            return [calls, seen];
        }";
    let codec = script(source);
    for _ in 0..3 {
        assert_eq!(codec.encode(&host(), &command("SWITCH")), Ok(Some(vec![1, 0])));
    }
}

#[test]
fn there_is_nothing_to_reach_outside() {
    for name in [
        "require",
        "process",
        "fetch",
        "XMLHttpRequest",
        "setTimeout",
        "std",
        "os",
        "Atomics",
        "Proxy",
    ] {
        let source = format!("function encode() {{ return [typeof {name} === 'undefined' ? 1 : 0]; }}");
        assert_eq!(encoded(&source), Ok(Some(vec![1])), "{name}");
    }
    hostile("return import('fs');");
}

/// The usual functions of the language work as ever behind the prelude.
#[test]
fn the_language_is_whole() {
    let source = r#"
        function encode() {
            var ok = [
                [3, 1, 2].sort().join() === '1,2,3',
                Array.prototype.slice.call(arguments, 0).length === 1,
                'a-b-c'.split('-').reverse().join('') === 'cba',
                'abc'.replace(/b/, function (x) { return x.toUpperCase(); }) === 'aBc',
                'x'.padStart(3, '0') === '00x',
                [1, [2, [3]]].flat(2).length === 3,
                [].concat([1], 2, [3]).length === 3,
                JSON.stringify({ a: [1, 'x', null] }) === '{"a":[1,"x",null]}',
                JSON.parse('[1]')[0] === 1,
                String.fromCharCode.apply(null, [104, 105]) === 'hi',
                Array.from('abc', function (c) { return c + c; }).join() === 'aa,bb,cc',
                [...new Set([1, 1, 2])].length === 2,
                new Date(0).toISOString() === '1970-01-01T00:00:00.000Z',
                parseInt('ff', 16) === 255 && (1.005).toFixed(1) === '1.0',
                'abc'.match(/(?<first>a)/).groups.first === 'a',
                [1, 2, 3].map(function (x) { return this.k * x; }, { k: 2 })[2] === 6,
                new Uint8Array([1, 2, 3]).subarray(1).length === 2,
                Object.assign({}, { a: 1 }).a === 1 && [5, 6].includes(6) && 'ab'.at(-1) === 'b'
            ];
            return ok.map(Number);
        }"#;
    let ok = encoded(source).unwrap().unwrap();
    assert_eq!(ok, vec![1; ok.len()], "{ok:?}");
}

#[test]
fn long_messages_are_within_the_limits() {
    let source = "
        function decode(payload) {
            var text = '';
            for (var i = 0; i < payload.length; i++) text += String.fromCharCode(payload[i]);
            return { msgType: 'deviceReq', data: [{ serviceId: 'S', serviceData: { text: text } }] };
        }";
    match decoded(source, &[b'x'; 16 * 1024]).unwrap() {
        FromDevice::Report(report) => assert_eq!(report.data[0].data.len(), 16 * 1024 + 11),
        other @ FromDevice::Result(_) => panic!("{other:?}"),
    }
}
