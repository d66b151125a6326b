use super::*;
use crate::product::Service;

fn number(text: &str) -> Option<Decimal> {
    Some(text.parse().unwrap())
}

/// A parameter `v` of this type, changed as the case needs it.
fn para(kind: DataType, change: impl FnOnce(&mut Para)) -> Para {
    let mut para = Para::new("v", kind);
    change(&mut para);
    para
}

/// The rule that `value` breaks as the only parameter.
fn broken(para: &Para, value: Value<'_>) -> Option<Rule> {
    let form = CommandForm {
        paras: vec![para.clone()],
        ..CommandForm::default()
    };
    match form.check(&[("v".into(), value)]) {
        Ok(()) => None,
        Err(Unfit::Para { name, rule }) => {
            assert_eq!(name, "v");
            Some(rule)
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Value<'_> {
    Value::Text(text.into())
}

fn samples() -> [(Value<'static>, &'static [DataType]); 7] {
    use DataType::{Boolean, DateTime, Decimal, Enum, Int, JsonObject, Long, String, StringList};
    [
        (Value::Bool(true), &[Boolean]),
        (Value::Number("1"), &[Int, Long, Decimal]),
        (Value::Number("1.5"), &[Decimal]),
        (Value::Text("1".into()), &[String, DateTime, Enum]),
        (Value::List(vec![Some("a".into())]), &[StringList]),
        (Value::List(vec![None]), &[]),
        (Value::Object { chars: 2 }, &[JsonObject]),
    ]
}

#[test]
fn every_type_takes_its_own_values_and_no_others() {
    for kind in DataType::ALL {
        for (value, fit) in samples() {
            let expected = (!fit.contains(&kind)).then_some(Rule::Type(kind));
            assert_eq!(
                broken(&para(kind, |_| {}), value.clone()),
                expected,
                "{kind} {value:?}"
            );
        }
    }
}

#[test]
fn numbers_keep_to_their_limits() {
    let limited = |kind| {
        para(kind, |para| {
            (para.min, para.max, para.step) = (number("-1"), number("10"), number("0.5"));
        })
    };
    let decimal = limited(DataType::Decimal);
    for fits in ["-1", "10", "9.5", "1e1", "-0.5", "0"] {
        assert_eq!(broken(&decimal, Value::Number(fits)), None, "{fits}");
    }
    for (value, rule) in [
        ("-1.01", Rule::Min("-1".parse().unwrap())),
        ("10.5", Rule::Max("10".parse().unwrap())),
        ("1e300", Rule::Max("10".parse().unwrap())),
        ("-1e300", Rule::Min("-1".parse().unwrap())),
        ("0.25", Rule::Step("0.5".parse().unwrap())),
        ("0.00000000000000000000001", Rule::Step("0.5".parse().unwrap())),
    ] {
        assert_eq!(broken(&decimal, Value::Number(value)), Some(rule), "{value}");
    }
    let whole = limited(DataType::Int);
    assert_eq!(broken(&whole, Value::Number("2.0")), None);
    assert_eq!(
        broken(&whole, Value::Number("0.5")),
        Some(Rule::Type(DataType::Int))
    );
    assert_eq!(
        broken(&whole, Value::Number("1e300")),
        Some(Rule::Type(DataType::Int))
    );
    let free = para(DataType::Decimal, |_| {});
    assert_eq!(broken(&free, Value::Number("1e300")), None);
}

#[test]
fn texts_keep_to_their_length_and_their_list() {
    let short = para(DataType::String, |para| para.max_length = Some(2));
    assert_eq!(broken(&short, text("ää")), None);
    assert_eq!(broken(&short, text("abc")), Some(Rule::MaxLength(2)));
    let listed = para(DataType::Enum, |para| {
        para.listed = vec!["ON".into(), "OFF".into()]
    });
    assert_eq!(broken(&listed, text("OFF")), None);
    assert_eq!(broken(&listed, text("off")), Some(Rule::Listed));
    let list = para(DataType::StringList, |para| para.max_length = Some(1));
    let given = |one: &'static str| Value::List(vec![Some("a".into()), Some(one.into())]);
    assert_eq!(broken(&list, given("b")), None);
    assert_eq!(broken(&list, given("bc")), Some(Rule::MaxLength(1)));
    let object = para(DataType::JsonObject, |para| para.max_length = Some(3));
    assert_eq!(
        broken(&object, Value::Object { chars: 4 }),
        Some(Rule::MaxLength(3))
    );
    let numbers = para(DataType::Int, |para| para.listed = vec!["1".into(), "2".into()]);
    assert_eq!(broken(&numbers, Value::Number("2")), None);
    assert_eq!(broken(&numbers, Value::Number("3")), Some(Rule::Listed));
}

#[test]
fn limits_of_another_type_say_nothing() {
    let text_with_range = para(DataType::String, |para| {
        (para.min, para.max) = (number("0"), number("0"));
    });
    assert_eq!(broken(&text_with_range, text("long enough")), None);
    let number_with_length = para(DataType::Int, |para| para.max_length = Some(1));
    assert_eq!(broken(&number_with_length, Value::Number("1234")), None);
}

#[test]
fn required_ones_must_be_there_and_unknown_ones_must_not() {
    let form = CommandForm {
        paras: vec![
            para(DataType::Int, |para| para.required = true),
            Para::new("w", DataType::Int),
        ],
        ..CommandForm::default()
    };
    let one = |name: &'static str| (Cow::from(name), Value::Number("1"));
    let rule = |given: &[Given<'_>]| form.check(given).unwrap_err();
    let unfit = |name: &str, rule| Unfit::Para {
        name: name.to_owned(),
        rule,
    };
    assert_eq!(form.check(&[one("v")]), Ok(()));
    assert_eq!(form.check(&[one("w"), one("v")]), Ok(()));
    assert_eq!(rule(&[one("w")]), unfit("v", Rule::Required));
    assert_eq!(rule(&[("v".into(), Value::Null)]), unfit("v", Rule::Required));
    assert_eq!(form.check(&[one("v"), ("w".into(), Value::Null)]), Ok(()));
    assert_eq!(rule(&[one("x"), one("v")]), unfit("x", Rule::Declared));
    // Of one that is there twice the last counts, as it does for who reads the command.
    assert_eq!(
        rule(&[one("v"), ("v".into(), text("a"))]),
        unfit("v", Rule::Type(DataType::Int))
    );
}

#[test]
fn a_command_without_parameters_takes_what_it_is_given() {
    assert_eq!(
        CommandForm::default().check(&[("dummy".into(), Value::Null)]),
        Ok(())
    );
}

#[test]
fn a_profile_checks_service_and_command_first() {
    let service = Service {
        id: "s".into(),
        commands: vec![CommandForm {
            name: "c".into(),
            paras: vec![para(DataType::Int, |para| para.required = true)],
            ..CommandForm::default()
        }],
        ..Service::default()
    };
    let profile = Profile::new(vec![service]).unwrap();
    assert_eq!(profile.check("x", "c", &[]), Err(Unfit::Service));
    assert_eq!(profile.check("s", "x", &[]), Err(Unfit::Command));
    let told = profile.check("s", "c", &[]).unwrap_err();
    assert_eq!(told.to_string(), "v must be given");
}
