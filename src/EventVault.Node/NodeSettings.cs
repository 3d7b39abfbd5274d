// Where the node's settings come from: flags before environment before file before defaults. One table has them all;
// what is not in it is refused wherever it stands, because a misspelt setting that is ignored is a trap.
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using EventVault.Node.Peers;
using EventVault.Node.Security;
using EventVault.Node.Services;
using EventVault.Storage;
using EventVault.Storage.Log;
using Microsoft.Extensions.Logging.Abstractions;

namespace EventVault.Node;

/// <summary>Reads and checks the settings of the program.</summary>
internal sealed class NodeSettings
{
    private const string EnvironmentPrefix = "EVENTVAULT_";
    private const string FileSection = "EventVault";
    private const string DefaultFile = "appsettings.json";
    private const int MostFileBytes = 1024 * 1024; // Of the settings file: a thousand times what all settings take.
    private const string Endpoint = "otlp-endpoint";

    /// <summary>What OpenTelemetry calls that setting everywhere.</summary>
    private const string StandardEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";

    /// <summary>Variables with our prefix that belong to the client tools.</summary>
    private static readonly string[] OthersVariables =
    [
        "EVENTVAULT_ENDPOINT", "EVENTVAULT_HTTP", "EVENTVAULT_USER", "EVENTVAULT_PASSWORD", "EVENTVAULT_PASSWORD_FILE", "EVENTVAULT_TOKEN", "EVENTVAULT_TOKEN_FILE",
        "EVENTVAULT_AUTHORITY", "EVENTVAULT_CLIENT_CERT", "EVENTVAULT_CLIENT_KEY",
    ];

    private static readonly string[] OfTls = ["tls-cert", "tls-key"];

    /// <summary>Settings that say nothing where nobody is asked for credentials.</summary>
    private static readonly string[] OfAccess =
        ["admin-password-file", "tls-client-ca", "token-keys", "token-issuer", "token-audience", "token-user-claim", "token-roles-claim", "clear-text"];

    /// <summary>Settings that say nothing without a peer port.</summary>
    private static readonly string[] OfPeers = ["join", "peer-listen", "peer-advertise", "peer-tls-cert", "peer-tls-key", "peer-tls-ca"];

    private static readonly Setting[] Table =
    [
        new("data", "DIR", "the data directory; required"),
        new("port", "N", "port for gRPC, 0 takes a free one (7400)"),
        new("http-port", "N", "port for HTTP: health and metrics, 0 takes a free one (7401)"),
        new("listen", "ADDRESS", "IP address to listen on (127.0.0.1)"),
        new("dev", "", "clear text, loopback only, no credentials asked, reflection on"),
        new("insecure", "", "ask nobody for credentials, and serve clear text on any address unless there is a certificate"),
        new("clear-text", "", "serve beyond loopback without TLS: passwords and events can be read on the way"),
        new("tls-cert", "FILE", "PEM certificate (with its chain) for the gRPC and HTTP ports"),
        new("tls-key", "FILE", "PEM key of the certificate"),
        new("tls-client-ca", "FILE", "PEM certificates of who signs those of users, whose common name is the user's"),
        new("admin-password-file", "FILE", "file with the password of the built-in user admin; vault-admin users init makes one"),
        new("token-keys", "PLACE", "file or https URL of a JWKS with the keys that bearer tokens are signed with"),
        new("token-issuer", "TEXT", "who must have issued tokens: their claim iss"),
        new("token-audience", "TEXT", "whom tokens must be for: their claim aud"),
        new("token-user-claim", "NAME", "claim with the name of the user (sub)"),
        new("token-roles-claim", "NAME", "claim with roles that a token gives beside those of the user"),
        new("reflection", "", "let clients ask which services there are (on with --dev)"),
        new("segment-size", "BYTES", "size of a log file, a multiple of 4096, counts when the vault is created (256MiB)"),
        new("operation-horizon", "N", "appends whose ids are remembered at the least (16777216)"),
        new("event-bytes", "BYTES", "largest event (4MiB)"),
        new("append-bytes", "BYTES", "largest append (16MiB)"),
        new("append-events", "N", "most events in an append (50000)"),
        new("queued-appends", "N", "appends that may wait to be written, half of them of one connection; more are refused (65536)"),
        new("queued-bytes", "BYTES", "bytes of appends that may wait to be written, half of them of one connection (256MiB)"),
        new("session-appends", "N", "unanswered appends of a session; beyond them it is not read (4096)"),
        new("progress-interval", "MS", "how often an idle subscription is told how far it is (1000)"),
        new("retention-interval", "MS", "how often to look which events are due by retention rules (20000)"),
        new("drain-timeout", "MS", "how long running calls may take when the node stops (10000)"),
        new("scavenge-rate", "BYTES", "what scavenging reads and writes a second at the most, 0 as much as it can (32MiB)"),
        new("scavenge-interval", "HOURS", "how often to look whether a scavenge is worth it, and start one; 0 never (24)"),
        new("scrub-interval", "HOURS", "how often to check all sealed segments for damage, at the rate of scavenging; 0 never (168)"),
        new("state-bytes", "BYTES", "largest state (1MiB)"),
        new("fold-events", "N", "events that one state may take to fold (5000000)"),
        new("join", "", "with an empty data directory: make no vault, wait for cluster init here or cluster add elsewhere"),
        new("node-id", "N", "number of the node, 1 to 65535; another one's data directory is refused (as the directory says; 1 in a vault that it makes)"),
        new("peer-port", "N", "port for the other nodes of the vault, 0 takes a free one (none: the vault has one node)"),
        new("peer-listen", "ADDRESS", "IP address that the peer port listens on (as --listen)"),
        new("peer-advertise", "HOST:PORT", "where other nodes reach the peer port (where it listens)"),
        new("advertise", "HOST:PORT", "where clients reach the gRPC port, as other nodes tell them (where it listens)"),
        new("peer-tls-cert", "FILE", "PEM certificate (with its chain) that the node shows to other nodes"),
        new("peer-tls-key", "FILE", "PEM key of that certificate"),
        new("peer-tls-ca", "FILE", "PEM certificates that the other nodes' ones must be signed by"),
        new("election-timeout", "MS", "shortest time without a leader before a node wants to be one, two heartbeats at least (1500)"),
        new("heartbeat", "MS", "how often a leader is heard from, at most half the election timeout (100)"),
        new("ship-rate", "BYTES", "what a node sends of sealed segments a second at the most, 0 as much as it can (64MiB)"),
        new("otlp-endpoint", "URL", "send metrics and traces by OTLP to a collector, such as http://localhost:4317 (OTEL_EXPORTER_OTLP_ENDPOINT)"),
        new("log-level", "LEVEL", "trace, debug, information, warning, error, critical or none (information)"),
        new("log-format", "FORMAT", "line or json, on stderr (line)"),
        new("config", "FILE", "settings file (appsettings.json in the working directory, if there is one)"),
    ];

    private readonly Dictionary<string, (string Value, string Origin)> _values = [];

    private NodeSettings()
    {
    }

    /// <summary>What is printed instead of starting the node: its usage or its version, if that was asked for.</summary>
    public string? Answer { get; private set; }

    /// <summary>Lowest level that is logged.</summary>
    public LogLevel LogLevel { get; private set; }

    /// <summary>Whether logs are JSON, one object a line.</summary>
    public bool LogsJson { get; private set; }

    /// <summary>All of them, as the usage lists them. What stands in brackets at the end of a description is the default.</summary>
    public static IReadOnlyList<Setting> All => Table;

    /// <summary>The usage text.</summary>
    public static string Usage => string.Join(
        Environment.NewLine,
        Table.Select(s => $"  --{s.Name + (s.Value.Length > 0 ? " " + s.Value : ""),-28} {s.Description}")
            .Prepend("EventVault.Node --data DIR [--port N] [--http-port N] [--dev] [--listen ADDRESS] ...")
            .Append("Each is also a setting EVENTVAULT_… of the environment (EVENTVAULT_HTTP_PORT) and a property of the object \"EventVault\" in the settings file.")
            .Append("Flags come before the environment, the environment before the file. --version prints the version, --help this."));

    /// <summary>Reads the settings.</summary>
    /// <param name="arguments">The program's.</param>
    /// <param name="environment">Names and values.</param>
    /// <param name="workingDirectory">Where <c>appsettings.json</c> may be.</param>
    /// <exception cref="SettingException">A setting is unknown or malformed.</exception>
    public static NodeSettings Read(IReadOnlyList<string> arguments, IEnumerable<KeyValuePair<string, string>> environment, string workingDirectory)
    {
        var settings = new NodeSettings();
        settings.ReadFlags(arguments);
        if (settings.Answer is null)
        {
            settings.ReadEnvironment([.. environment]);
            settings.ReadFile(workingDirectory);
            settings.LogLevel = settings.Choice("log-level", LogLevel.Information);
            settings.LogsJson = settings.Choice("log-format", LogFormat.Line) == LogFormat.Json;
        }

        return settings;
    }

    /// <summary>Checks all settings and turns them into what the node is started with.</summary>
    /// <exception cref="SettingException">A setting is missing or out of its range.</exception>
    public NodeOptions ToOptions()
    {
        var dev = Flag("dev");
        var address = Address("listen") ?? IPAddress.Loopback;
        if (dev && !IPAddress.IsLoopback(address))
        {
            throw Wrong("listen", $"{address} is no loopback address, and --dev serves loopback only. Leave one of the two out.");
        }

        var segment = (uint)Number("segment-size", 256L << 20, StorageOptions.MinSegmentSizeBytes, StorageOptions.MaxSegmentSizeBytes);
        if (segment % 4096 != 0)
        {
            throw Wrong("segment-size", $"{segment} is not a multiple of 4096.");
        }

        var heartbeat = Number("heartbeat", 100, 50, 10_000);
        var hasPeerPort = _values.ContainsKey("peer-port");
        var options = new NodeOptions
        {
            Directory = _values.TryGetValue("data", out var data) && data.Value.Length > 0
                ? Path.GetFullPath(data.Value)
                : throw new SettingException("--data", "is missing: name the data directory."),
            Address = address,
            Port = (int)Number("port", 7400, 0, 65535),
            HttpPort = (int)Number("http-port", 7401, 0, 65535),
            Tls = Tls(dev),
            Access = Access(dev),
            Reflection = dev || Flag("reflection"),
            SegmentSizeBytes = segment,
            OperationHorizon = Number("operation-horizon", 16L << 20, 1024, 1L << 32),
            Limits = new VaultLimits
            {
                EventBytes = (int)Number("event-bytes", 4 << 20, 1024, 64 << 20),
                AppendBytes = (int)Number("append-bytes", 16 << 20, 4096, VaultLimits.MostAppendBytes),
                AppendEvents = (int)Number("append-events", 50_000, 1, 1_000_000),
            },
            Queue = new AppendLimits((int)Number("queued-appends", 65_536, 1, 1 << 24), Number("queued-bytes", 256L << 20, 1024, 1L << 36)),
            SessionAppends = (int)Number("session-appends", 4096, 1, 1 << 20),
            StateBytes = (int)Number("state-bytes", 1 << 20, 64 << 10, 16 << 20),
            FoldEvents = Number("fold-events", 5_000_000, 1024, 1L << 32),
            ProgressInterval = TimeSpan.FromMilliseconds(Number("progress-interval", 1000, 10, 3_600_000)),
            RetentionInterval = TimeSpan.FromMilliseconds(Number("retention-interval", 20_000, 100, 60_000)), // At least once a minute, as the protocol says.
            ScavengeBytesPerSecond = Number("scavenge-rate", 32L << 20, 0, 1L << 40),
            ScavengeInterval = TimeSpan.FromHours(Number("scavenge-interval", 24, 0, 8784)),
            ScrubInterval = TimeSpan.FromHours(Number("scrub-interval", 168, 0, 8784)),
            DrainTimeout = TimeSpan.FromMilliseconds(Number("drain-timeout", 10_000, 0, 3_600_000)),
            Join = Flag("join"),
            NodeId = _values.ContainsKey("node-id") ? (uint)Number("node-id", 1, 1, NodeOptions.HighestNodeId) : null,
            PeerPort = hasPeerPort ? (int)Number("peer-port", 0, 0, 65535) : null,
            PeerAddress = Address("peer-listen") ?? address,
            PeerAdvertise = HostAndPort("peer-advertise"),
            Advertise = HostAndPort("advertise"),
            PeerTls = PeersTls(),
            Heartbeat = TimeSpan.FromMilliseconds(heartbeat),
            ElectionTimeout = TimeSpan.FromMilliseconds(Number("election-timeout", 1500, 2 * heartbeat, 60_000)),
            ShipBytesPerSecond = Number("ship-rate", 64L << 20, 0, 1L << 40),
            OtlpEndpoint = Url(Endpoint),
        };
        if (File.Exists(Path.TrimEndingDirectorySeparator(options.Directory)))
        {
            throw Wrong("data", $"'{options.Directory}' is a file. Name a directory.");
        }

        CheckPeers(options);
        CheckClearText(options);
        return options.Port != 0 && options.Port == options.HttpPort
            ? throw Wrong("http-port", $"is {options.Port}, and so is port: in clear text one port speaks one protocol.")
            : options;
    }

    private void ReadFlags(IReadOnlyList<string> arguments)
    {
        for (var i = 0; i < arguments.Count; i++)
        {
            var argument = arguments[i];
            if (argument is "--help" or "-h")
            {
                Answer = Usage;
                return;
            }

            if (argument == "--version")
            {
                Answer = AdminService.Version;
                return;
            }

            var equals = argument.IndexOf('=', StringComparison.Ordinal);
            var flag = equals < 0 ? argument : argument[..equals];
            if (!flag.StartsWith("--", StringComparison.Ordinal) || Find(flag[2..]) is not { } setting)
            {
                throw new SettingException(argument, "is not a flag of this program. --help lists them.");
            }

            var value = equals >= 0 ? argument[(equals + 1)..]
                : setting.Value.Length == 0 ? "true"
                : i + 1 < arguments.Count ? arguments[++i]
                : throw new SettingException(flag, "needs a value.");
            if (!_values.TryAdd(setting.Name, (value, flag)))
            {
                throw new SettingException(flag, "stands twice.");
            }
        }
    }

    private void ReadEnvironment(IReadOnlyCollection<KeyValuePair<string, string>> environment)
    {
        foreach (var (name, value) in environment)
        {
            if (!name.StartsWith(EnvironmentPrefix, StringComparison.Ordinal) || OthersVariables.Contains(name))
            {
                continue;
            }

            var setting = Table.FirstOrDefault(s => s.Variable == name)
                ?? throw new SettingException(name, $"is not a setting of this program. They are: {string.Join(", ", Table.Select(s => s.Variable))}.");
            _values.TryAdd(setting.Name, (value, name));
        }

        // By its own name it comes first.
        if (environment.FirstOrDefault(e => e.Key == StandardEndpoint) is { Value.Length: > 0 } standard)
        {
            _values.TryAdd(Endpoint, (standard.Value, StandardEndpoint));
        }
    }

    private void ReadFile(string workingDirectory)
    {
        var isNamed = _values.TryGetValue("config", out var named);
        var path = isNamed ? named.Value : Path.Combine(workingDirectory, DefaultFile);
        if (!File.Exists(path))
        {
            if (isNamed)
            {
                throw new SettingException(named.Origin, $"there is no file {path}.");
            }

            return;
        }

        try
        {
            using var json = JsonDocument.Parse(ReadBytes(path), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            if (json.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new SettingException(path, $"is not a JSON object; settings stand in its property {FileSection}.");
            }

            var sections = json.RootElement.EnumerateObject().Where(static p => p.NameEquals(FileSection)).ToList();
            if (sections.Count == 1)
            {
                ReadSection(sections[0].Value, path);
            }
            else if (isNamed || sections.Count > 1)
            {
                throw new SettingException(path, $"has the property {FileSection} {(sections.Count > 1 ? "twice" : "nowhere")}; settings stand in it, once.");
            }
        }
        catch (JsonException e)
        {
            throw new SettingException(path, $"is not JSON: {e.Message}");
        }
        catch (Exception e) when (e is UnauthorizedAccessException or IOException)
        {
            throw new SettingException(path, $"can't be read: {e.Message}");
        }
    }

    // Bounded: a device named by mistake may have no end.
    private static ReadOnlyMemory<byte> ReadBytes(string path)
    {
        using var file = File.OpenRead(path);
        var bytes = new byte[MostFileBytes + 1];
        var length = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        if (length > MostFileBytes)
        {
            throw new SettingException(path, $"has more than {MostFileBytes / 1024 / 1024} MiB: that is no settings file.");
        }

        // Some editors begin a file with a byte order mark.
        var read = bytes.AsMemory(0, length);
        return read.Span.StartsWith(Encoding.UTF8.Preamble) ? read[Encoding.UTF8.Preamble.Length..] : read;
    }

    private void ReadSection(JsonElement section, string path)
    {
        if (section.ValueKind != JsonValueKind.Object)
        {
            throw new SettingException($"{FileSection} in {path}", "is not an object of settings.");
        }

        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var property in section.EnumerateObject())
        {
            var origin = $"{FileSection}.{property.Name} in {path}";
            if (Find(property.Name) is not { } setting || setting.Name == "config")
            {
                throw new SettingException(origin, $"is not a setting of this program. They are: {string.Join(", ", Table.Select(s => s.Name).Where(s => s != "config"))}.");
            }

            if (!seen.Add(setting.Name))
            {
                throw new SettingException(origin, "stands there twice: leave one out.");
            }

            var value = property.Value.ValueKind switch
            {
                JsonValueKind.String => property.Value.GetString()!,
                JsonValueKind.Number => property.Value.GetRawText(),
                JsonValueKind.True => "true",
                JsonValueKind.False => "false",
                _ => throw new SettingException(origin, "must be a text, a number, true or false."),
            };
            _values.TryAdd(setting.Name, (value, origin));
        }
    }

    // What needs another setting, or another one to be left out.
    private void CheckPeers(NodeOptions options)
    {
        if (options.PeerPort is not null && 2 * options.Heartbeat > options.ElectionTimeout)
        {
            throw Wrong("heartbeat", $"is {options.Heartbeat.TotalMilliseconds} ms, more than half of the election timeout, {options.ElectionTimeout.TotalMilliseconds} ms unless it is set: raise election-timeout, too.");
        }

        if (options.PeerPort is null)
        {
            var needing = OfPeers.FirstOrDefault(_values.ContainsKey);
            if (needing is not null && (needing != "join" || options.Join))
            {
                throw Wrong(needing, "needs --peer-port: without one the node can have no peers.");
            }
        }
        else if (options.PeerPort != 0 && (options.PeerPort == options.Port || options.PeerPort == options.HttpPort))
        {
            throw Wrong("peer-port", $"is {options.PeerPort}, and so is another port of the node: each speaks a protocol of its own.");
        }
    }

    // Beyond this machine only under TLS, unless it was said in as many words.
    private void CheckClearText(NodeOptions options)
    {
        if (Flag("insecure") || Flag("clear-text"))
        {
            return;
        }

        const string Remedy = "or say --clear-text, for a network that nobody else can listen on.";
        if (options.Tls is null && !IPAddress.IsLoopback(options.Address))
        {
            throw Wrong("listen", $"{options.Address} is no loopback address, and without TLS whoever sits between can read passwords and events. Give --tls-cert and --tls-key (vault-admin certificates makes them), {Remedy}");
        }

        if (options.PeerPort is not null && options.PeerTls is null && !IPAddress.IsLoopback(options.PeerAddress))
        {
            throw Wrong(
                _values.ContainsKey("peer-listen") ? "peer-listen" : "listen",
                $"{options.PeerAddress} is no loopback address, and without TLS whoever reaches the peer port is taken for a node. Give --peer-tls-cert, --peer-tls-key and --peer-tls-ca, {Remedy}");
        }
    }

    private AccessOptions? Access(bool dev)
    {
        if (dev || Flag("insecure"))
        {
            return OfAccess.FirstOrDefault(s => _values.ContainsKey(s) && (s != "clear-text" || Flag(s))) is { } named
                ? throw Wrong(named, $"does not go with {(dev ? "--dev" : "--insecure")}, which asks nobody for credentials.")
                : null;
        }

        var access = new AccessOptions { AdminPasswordFile = Text("admin-password-file"), Tokens = Tokens() };
        if (access.AdminPasswordFile is null && Text("tls-client-ca") is null)
        {
            throw new SettingException(
                "--admin-password-file",
                "is missing, and so is --tls-client-ca: nobody could get in. vault-admin users init FILE makes a password for the user admin. To try it out, --dev asks nobody, on this machine only.");
        }

        try
        {
            _ = access.AdminPasswordFile is null ? string.Empty : access.AdminPassword();
            return access;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw Wrong("admin-password-file", $"{access.AdminPasswordFile} can't be used: {e.Message}");
        }
    }

    private TokenOptions? Tokens()
    {
        string[] needed = ["token-keys", "token-issuer", "token-audience"];
        if (!needed.Concat(["token-user-claim", "token-roles-claim"]).Any(_values.ContainsKey))
        {
            return null;
        }

        if (needed.FirstOrDefault(s => Text(s) is null) is { } missing)
        {
            throw new SettingException("--" + missing, "is missing: tokens count only with --token-keys, --token-issuer and --token-audience.");
        }

        var keys = Text("token-keys")!;
        try
        {
            using var tried = new TokenKeys(keys, static _ => { }, TimeProvider.System);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or FormatException)
        {
            throw Wrong("token-keys", $"{keys} can't be used: {e.Message}");
        }

        return new TokenOptions { Keys = keys, Issuer = Text("token-issuer")!, Audience = Text("token-audience")!, UserClaim = Text("token-user-claim") ?? "sub", RolesClaim = Text("token-roles-claim") };
    }

    private string? Text(string name) => _values.TryGetValue(name, out var set) && set.Value.Length > 0 ? set.Value : null;

    private IPAddress? Address(string name)
    {
        if (!_values.TryGetValue(name, out var listen))
        {
            return null;
        }

        return listen.Value == "localhost" ? IPAddress.Loopback
            : IPAddress.TryParse(listen.Value, out var address) ? address
            : throw Wrong(name, $"{listen.Value} is not an IP address, such as 127.0.0.1 or 0.0.0.0.");
    }

    private string? HostAndPort(string name)
    {
        if (!_values.TryGetValue(name, out var set))
        {
            return null;
        }

        return Addresses.WhyNot(set.Value) is { } why ? throw Wrong(name, why) : set.Value;
    }

    private Uri? Url(string name)
    {
        if (!_values.TryGetValue(name, out var set))
        {
            return null;
        }

        return Uri.TryCreate(set.Value, UriKind.Absolute, out var url) && url.Scheme is ("http" or "https") ? url
            : throw Wrong(name, $"{set.Value} is not an address such as http://localhost:4317.");
    }

    private TlsFiles? Tls(bool dev)
    {
        if (dev && OfTls.FirstOrDefault(_values.ContainsKey) is { } named)
        {
            throw Wrong(named, "does not go with --dev, which serves clear text.");
        }

        if (!HasBoth("tls-cert", "tls-key"))
        {
            return _values.ContainsKey("tls-client-ca") && !dev ? throw Wrong("tls-client-ca", "needs --tls-cert and --tls-key: certificates are shown under TLS.") : null;
        }

        var files = new TlsFiles(_values["tls-cert"].Value, _values["tls-key"].Value, Text("tls-client-ca"));
        return Usable("tls-cert", () =>
        {
            _ = new ServerTls(files, NullLogger.Instance);
            return files;
        });
    }

    private PeerTls? PeersTls()
    {
        var hasCertificate = HasBoth("peer-tls-cert", "peer-tls-key");
        if (hasCertificate != _values.ContainsKey("peer-tls-ca"))
        {
            throw new SettingException(
                hasCertificate ? "--peer-tls-ca" : "--peer-tls-cert",
                "is missing: between nodes both sides show a certificate and check the other's, so it takes --peer-tls-cert, --peer-tls-key and --peer-tls-ca.");
        }

        return hasCertificate ? Usable("peer-tls-cert", () => PeerTls.Load(_values["peer-tls-cert"].Value, _values["peer-tls-key"].Value, _values["peer-tls-ca"].Value)) : null;
    }

    private bool HasBoth(string certificateName, string keyName)
    {
        var (hasCertificate, hasKey) = (_values.ContainsKey(certificateName), _values.ContainsKey(keyName));
        return hasCertificate == hasKey ? hasCertificate
            : hasKey ? throw new SettingException("--" + certificateName, "is missing: a key needs its certificate.")
            : throw new SettingException("--" + keyName, "is missing: a certificate needs its key.");
    }

    private T Usable<T>(string name, Func<T> load)
    {
        try
        {
            return load();
        }
        catch (Exception e) when (e is CryptographicException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw Wrong(name, $"{_values[name].Value}, or a file that goes with it, can't be used: {e.Message}");
        }
    }

    private bool Flag(string name)
    {
        if (!_values.TryGetValue(name, out var set))
        {
            return false;
        }

        return set.Value switch
        {
            "true" or "1" => true,
            "false" or "0" => false,
            _ => throw Wrong(name, $"{set.Value} is neither true nor false."),
        };
    }

    private long Number(string name, long otherwise, long least, long most)
    {
        if (!_values.TryGetValue(name, out var set))
        {
            return otherwise;
        }

        var (digits, unit) = set.Value switch
        {
            var v when v.EndsWith("KiB", StringComparison.Ordinal) => (v[..^3], 1L << 10),
            var v when v.EndsWith("MiB", StringComparison.Ordinal) => (v[..^3], 1L << 20),
            var v when v.EndsWith("GiB", StringComparison.Ordinal) => (v[..^3], 1L << 30),
            var v => (v, 1L),
        };
        return !long.TryParse(digits.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) || Math.Abs((decimal)number) > long.MaxValue / unit
            ? throw Wrong(name, $"{set.Value} is not a whole number (bytes may end in KiB, MiB or GiB).")
            : number * unit < least || number * unit > most
                ? throw Wrong(name, $"is {set.Value}; {least} to {most} are allowed.")
                : number * unit;
    }

    private T Choice<T>(string name, T otherwise)
        where T : struct, Enum
    {
        if (!_values.TryGetValue(name, out var set))
        {
            return otherwise;
        }

        return !int.TryParse(set.Value, out _) && Enum.TryParse<T>(set.Value, ignoreCase: true, out var value)
            ? value
            : throw Wrong(name, $"{set.Value} is none of {string.Join(", ", Enum.GetNames<T>())}.");
    }

    private SettingException Wrong(string name, string why) => new(_values.TryGetValue(name, out var set) ? set.Origin : "--" + name, why);

    private static Setting? Find(string name) => Table.FirstOrDefault(s => string.Equals(s.Name, name, StringComparison.Ordinal));

    private enum LogFormat
    {
        Line,
        Json,
    }

    /// <summary>A setting. Without a value in the usage it is a switch.</summary>
    internal sealed record Setting(string Name, string Value, string Description)
    {
        /// <summary>The variable of the environment that sets it.</summary>
        public string Variable { get; } = EnvironmentPrefix + Name.ToUpperInvariant().Replace('-', '_');
    }
}
