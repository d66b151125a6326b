// An application that knows nothing of this server, with the habits of the platform's Java SDK and of what is built on it:
// the server's certificate trusted by file and its host name not checked, a body looked through for error_code before the
// status is, a Content-Type wanted of every answer but 204, errors read as flat text, pushes told apart by a substring.
//
//   java Client.java HOST:PORT APP_ID SECRET CA_FILE
//
// Prints `device ID SECRET` when the device may connect, and `done` at the end. Nothing but the JDK.

import com.sun.net.httpserver.HttpServer;
import java.io.FileInputStream;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URL;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Client {
    static final String COMMANDS = "/iocm/app/cmd/v1.4.0/deviceCommands";
    static final String SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions";
    static final String KEYS = "/iocm/app/reg/v1.1.0/deviceCredentials";
    static final String DEVICES = "/iocm/app/dm/v1.4.0/devices";
    static final Duration PATIENCE = Duration.ofSeconds(20);
    static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'");

    /** Every push that came, as text. */
    static final List<String> pushes = new CopyOnWriteArrayList<>();
    static String base, appId, secret, token;

    static class Failed extends RuntimeException {
        Failed(String why) {
            super(why);
        }
    }

    record Answer(int status, String type, String text) {}

    /** Trusts the one certificate of the file, under whatever name. */
    static void trust(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream in = new FileInputStream(file)) {
            store.setCertificateEntry("server", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trusting = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trusting.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trusting.getTrustManagers(), null);
        HttpsURLConnection.setDefaultSSLSocketFactory(context.getSocketFactory());
        HttpsURLConnection.setDefaultHostnameVerifier((name, session) -> true);
    }

    static Answer send(String method, String path, String type, String body) throws Exception {
        HttpsURLConnection connection = (HttpsURLConnection) new URL(base + path).openConnection();
        connection.setRequestMethod(method);
        if (token != null) {
            connection.setRequestProperty("app_key", appId);
            connection.setRequestProperty("Authorization", "Bearer " + token);
        }
        if (body != null) {
            connection.setRequestProperty("Content-Type", type);
            connection.setDoOutput(true);
            connection.getOutputStream().write(body.getBytes(StandardCharsets.UTF_8));
        }
        int status = connection.getResponseCode();
        InputStream in = status < 400 ? connection.getInputStream() : connection.getErrorStream();
        String text = in == null ? "" : new String(in.readAllBytes(), StandardCharsets.UTF_8);
        return new Answer(status, connection.getContentType(), text);
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new Failed(what);
    }

    /** A call that is to succeed with this very status; gives the text. */
    static String call(int expected, String method, String path, String body) throws Exception {
        Answer answer = send(method, path, "application/json", body);
        String told = method + " " + path + ": " + answer;
        check(!answer.text.contains("error_code") && !answer.text.contains("resultcode"), told);
        check(answer.status == expected, told);
        if (answer.status != 204) check(answer.type.startsWith("application/json"), told);
        return answer.text;
    }

    /** The first member of this name that is a text or a number. */
    static String member(String json, String name) {
        Matcher found = Pattern.compile("\"" + name + "\":(?:\"([^\"]*)\"|(-?\\d+))").matcher(json);
        check(found.find(), "no " + name + " in " + json);
        return found.group(1) != null ? found.group(1) : found.group(2);
    }

    static String form(String... pairs) {
        List<String> parts = new ArrayList<>();
        for (int at = 0; at < pairs.length; at += 2) {
            parts.add(pairs[at] + "=" + URLEncoder.encode(pairs[at + 1], StandardCharsets.UTF_8));
        }
        return String.join("&", parts);
    }

    static void login() throws Exception {
        String body = form("appId", appId, "secret", secret);
        Answer answer = send("POST", "/iocm/app/sec/v1.1.0/login", "application/x-www-form-urlencoded", body);
        check(answer.status == 200, "login: " + answer);
        check(Integer.parseInt(member(answer.text, "expiresIn")) > 0, answer.text);
        String refresh = member(answer.text, "refreshToken");
        String again = "{\"appId\":\"%s\",\"secret\":\"%s\",\"refreshToken\":\"%s\"}".formatted(appId, secret, refresh);
        token = member(call(200, "POST", "/iocm/app/sec/v1.1.0/refreshToken", again), "accessToken");
    }

    static HttpServer receive() throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 0);
        server.createContext("/v1.0.0/messageReceiver", exchange -> {
            pushes.add(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
            exchange.sendResponseHeaders(200, 2);
            exchange.getResponseBody().write("ok".getBytes(StandardCharsets.UTF_8));
            exchange.close();
        });
        server.start();
        return server;
    }

    static void until(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.call()) {
            check(System.nanoTime() < deadline, "not within time: " + what + "; came: " + pushes);
            Thread.sleep(30);
        }
    }

    static boolean came(String... parts) {
        return pushes.stream().anyMatch(text -> List.of(parts).stream().allMatch(text::contains));
    }

    /** Registers by verification code; gives the answer. */
    static String register(String nodeId) throws Exception {
        String body = "{\"nodeId\":\"%s\",\"verifyCode\":\"%s\",\"timeout\":0,\"isSecure\":false}".formatted(nodeId, nodeId);
        String made = call(200, "POST", KEYS + "?appId=" + appId, body);
        check(member(made, "verifyCode").equals(nodeId) && member(made, "timeout").equals("0"), made);
        return made;
    }

    /** The older way answers with nothing but its status. */
    static void subscribe(String callback) throws Exception {
        for (String kind : List.of("deviceAdded", "deviceDeleted")) {
            String body = "{\"notifyType\":\"%s\",\"callbackUrl\":\"%s\"}".formatted(kind, callback);
            check(member(call(201, "POST", SUBSCRIPTIONS, body), "notifyType").equals(kind), kind);
        }
        String older = "{\"notifyType\":\"deviceInfoChanged\",\"callbackurl\":\"%s\"}".formatted(callback);
        check(call(201, "POST", "/iocm/app/sub/v1.2.0/subscribe", older).isEmpty(), "an empty body");
    }

    static String command(String deviceId, String callback, int expire) {
        String command = "{\"serviceId\":\"Lamp\",\"method\":\"SWITCH\",\"paras\":{\"value\":1}}";
        return "{\"deviceId\":\"%s\",\"requestId\":null,\"command\":%s,\"callbackUrl\":\"%s\",\"expireTime\":%d}"
            .formatted(deviceId, command, callback, expire);
    }

    static void runs(String deviceId, String callback) throws Exception {
        String made = call(201, "POST", COMMANDS + "?appId=" + appId, command(deviceId, callback, 600));
        String id = member(made, "commandId");
        check(id.matches("[0-9a-f]{32}"), made);
        LocalDateTime created = LocalDateTime.parse(member(made, "creationTime"), TIME);
        long apart = Duration.between(created, LocalDateTime.now(ZoneOffset.UTC)).abs().toSeconds();
        check(apart < 60, made);
        String head = "{\"deviceId\":\"%s\",\"commandId\":\"%s\",\"result\":".formatted(deviceId, id);
        until("SENT", () -> came(head + "{\"resultCode\":\"SENT\",\"resultDetail\":null}}"));
        until("DELIVERED", () -> came(head + "{\"resultCode\":\"DELIVERED\",\"resultDetail\":null}}"));
        until("SUCCESSFUL", () -> came(head + "{\"resultCode\":\"SUCCESSFUL\",\"resultDetail\":{\"result\":0}}}"));
        String query = "?pageNo=0&pageSize=10&deviceId=" + deviceId + "&startTime=" + member(made, "creationTime");
        String page = call(200, "GET", COMMANDS + query, null);
        check(member(page, "totalSize").equals("1") && member(page, "commandId").equals(id), page);
        check(member(page, "status").equals("SUCCESSFUL") && !page.contains("null"), page);
        LocalDateTime.parse(member(page, "executeTime"), TIME);
    }

    static void cancels(String deviceId, String callback) throws Exception {
        String made = call(201, "POST", COMMANDS, command(deviceId, callback, 3600));
        check(member(made, "status").equals("PENDING"), made);
        String path = COMMANDS + "/" + member(made, "commandId");
        check(member(call(200, "PUT", path, "{\"status\":\"CANCELED\"}"), "status").equals("CANCELED"), made);
        // The second time is an error: flat, and all of it text.
        Answer again = send("PUT", path, "application/json", "{\"status\":\"CANCELED\"}");
        check(again.text.matches("\\{\"error_code\":\"100435\",\"error_desc\":\"[^\"]*\"}"), again.toString());
        check(again.type.startsWith("application/json"), again.toString());
    }

    static void removes(String deviceId) throws Exception {
        call(204, "DELETE", DEVICES + "/" + deviceId + "?cascade=false", null);
        until("deviceDeleted", () -> came("\"notifyType\":\"deviceDeleted\"", deviceId));
    }

    static void run() throws Exception {
        HttpServer server = receive();
        String callback = "http://127.0.0.1:" + server.getAddress().getPort() + "/v1.0.0/messageReceiver";
        login();
        subscribe(callback);
        String there = register("stranger-java-1"), away = register("stranger-java-2");
        String thereId = member(there, "deviceId"), awayId = member(away, "deviceId");
        until("deviceAdded", () -> came("\"notifyType\":\"deviceAdded\"", awayId));
        String profile = "{\"name\":\"gate\",\"manufacturerId\":\"acme\",\"deviceType\":\"Lamp\",\"model\":\"L1\",\"protocolType\":\"MQTT\"}";
        call(204, "PUT", DEVICES + "/" + thereId + "?appId=" + appId, profile);
        until("deviceInfoChanged", () -> came("\"notifyType\":\"deviceInfoChanged\"", "\"name\":\"gate\""));

        System.out.println("device " + thereId + " " + member(there, "psk"));
        until("activated", () -> call(200, "GET", KEYS + "/" + thereId, null).contains("\"activated\":true"));
        until("ONLINE", () -> came("\"notifyType\":\"deviceInfoChanged\"", thereId, "\"status\":\"ONLINE\""));

        runs(thereId, callback + "/cmd");
        cancels(awayId, callback + "/cmd");
        removes(thereId);
        removes(awayId);
        call(204, "DELETE", SUBSCRIPTIONS + "?appId=" + appId, null);
        call(204, "POST", "/iocm/app/sec/v1.1.0/logout", "{\"accessToken\":\"" + token + "\"}");
        Answer after = send("GET", DEVICES + "?pageNo=0", null, null);
        check(after.status == 403 && after.text.contains("\"resultcode\":\"1010005\""), "after logout: " + after);
    }

    public static void main(String[] arguments) throws Exception {
        base = "https://" + arguments[0];
        appId = arguments[1];
        secret = arguments[2];
        trust(arguments[3]);
        try {
            run();
        } catch (Failed failed) {
            System.err.println("FAILED: " + failed.getMessage());
            System.exit(1);
        }
        System.out.println("done");
        System.exit(0);
    }
}
