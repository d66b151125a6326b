//! The lines with which a user of the demo goes on by hand: log in, create a command, look at it.

use super::scene::Scene;

pub(super) fn lines(scene: &Scene) -> String {
    let cacert = scene
        .cacert
        .as_ref()
        .map(|path| format!(" --cacert '{}'", path.display()))
        .unwrap_or_default();
    let base = scene.base.as_str().trim_end_matches('/');
    let (app, secret, device) = (&scene.app.id, &scene.app.secret, &scene.device_id);
    let curl = format!("curl -sS{cacert}");
    let headers = format!("-H 'app_key: {app}' -H \"Authorization: Bearer $TOKEN\"");
    // Written out, in the order that a reader expects; neither value needs escaping.
    let body = format!(
        r#"{{"deviceId":"{device}","command":{{"serviceId":"Lamp","method":"SWITCH","paras":{{"value":0}}}},"callbackUrl":"{}"}}"#,
        scene.callback
    );
    format!(
        r#"
Go on by hand:

TOKEN=$({curl} {base}/iocm/app/sec/v1.1.0/login --data-urlencode 'appId={app}' --data-urlencode 'secret={secret}' | sed 's/.*"accessToken":"\([^"]*\)".*/\1/')

{curl} {base}/iocm/app/cmd/v1.4.0/deviceCommands {headers} -H 'Content-Type: application/json' -d '{body}'

{curl} '{base}/iocm/app/cmd/v1.4.0/deviceCommands?deviceId={device}' {headers}
"#
    )
}
