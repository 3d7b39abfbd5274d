using System.Net;
using EventVault.Storage.Log;

namespace EventVault.Node.Tests;

public sealed class NodeSettingsTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("eventvault-settings-tests-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void The_command_of_the_contract_is_understood()
    {
        var options = Read(["--data", "/d", "--port", "7500", "--http-port", "7501", "--dev", "--listen", "127.0.0.2"]);
        Assert.Equal(("/d", 7500, 7501, true), (options.Directory, options.Port, options.HttpPort, options.Reflection));
        Assert.Equal(IPAddress.Parse("127.0.0.2"), options.Address);
        var defaults = Read(["--data=/d", "--insecure"]);
        Assert.Equal((7400, 7401, IPAddress.Loopback, false), (defaults.Port, defaults.HttpPort, defaults.Address, defaults.Reflection));
        Assert.Equal((256u << 20, new VaultLimits()), (defaults.SegmentSizeBytes, defaults.Limits));
    }

    [Fact]
    public void What_a_node_with_peers_needs_is_understood()
    {
        var options = Read([
            "--data", "/d", "--insecure", "--join", "--node-id", "7", "--peer-port", "7402", "--peer-listen", "127.0.0.3", "--peer-advertise", "node7.example:7402",
            "--advertise", "[::1]:7400", "--election-timeout", "500", "--heartbeat", "50", "--ship-rate", "1MiB"]);
        Assert.Equal((true, (uint?)7, 7402), (options.Join, options.NodeId, options.PeerPort));
        Assert.Equal((IPAddress.Parse("127.0.0.3"), "node7.example:7402", "[::1]:7400"), (options.PeerAddress, options.PeerAdvertise, options.Advertise));
        Assert.Equal((500, 50, 1L << 20), (options.ElectionTimeout.TotalMilliseconds, options.Heartbeat.TotalMilliseconds, options.ShipBytesPerSecond));
        var alone = Read(["--data", "/d", "--insecure", "--listen", "127.0.0.2"]);
        Assert.Equal((null, IPAddress.Parse("127.0.0.2"), null), (alone.PeerPort, alone.PeerAddress, alone.NodeId));
        Assert.Equal((1500, 100, false), (alone.ElectionTimeout.TotalMilliseconds, alone.Heartbeat.TotalMilliseconds, alone.Join));
    }

    [Fact]
    public void Flags_come_before_the_environment_and_that_before_the_file()
    {
        File.WriteAllText(Path.Combine(_directory, "appsettings.json"), """{"Logging": {}, "EventVault": {"data": "/file", "port": 1, "http-port": 2, "segment-size": "1MiB", "reflection": true}}""");
        var options = Read(["--port", "3", "--insecure"], ("EVENTVAULT_PORT", "4"), ("EVENTVAULT_HTTP_PORT", "5"), ("EVENTVAULT_ENDPOINT", "x"), ("EVENTVAULT_HTTP", "x"), ("PATH", "y"));
        Assert.Equal(("/file", 3, 5, 1u << 20, true), (options.Directory, options.Port, options.HttpPort, options.SegmentSizeBytes, options.Reflection));
    }

    [Fact]
    public void A_named_file_takes_the_place_of_the_usual_one()
    {
        File.WriteAllText(Path.Combine(_directory, "appsettings.json"), """{"EventVault": {"data": "/usual"}}""");
        var other = Path.Combine(_directory, "other.json");
        File.WriteAllText(other, """{"EventVault": {"data": "/other"}}""");
        Assert.Equal("/other", Read(["--config", other, "--insecure"]).Directory);
        Assert.Equal("/usual", Read(["--insecure"]).Directory);

        // The usual one may belong to other programs, too; a named one is for this one.
        File.WriteAllText(Path.Combine(_directory, "appsettings.json"), """{"Logging": {}}""");
        File.WriteAllText(other, """{"eventvault": {"data": "/other"}}""");
        Assert.Equal("/d", Read(["--insecure", "--data", "/d"]).Directory);
        Assert.Contains("nowhere", Assert.Throws<SettingException>(() => Read(["--config", other, "--insecure", "--data", "/d"])).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--data", "")]
    [InlineData("--port", "--data /d --port x")]
    [InlineData("--port", "--data /d --port 65536")]
    [InlineData("0 to 65535 are allowed", "--data /d --port -1")]
    [InlineData("is not a whole number", "--data /d --segment-size -9999999999GiB")]
    [InlineData("--port", "--data /d --port")]
    [InlineData("--port", "--data /d --port 1 --port 2")]
    [InlineData("--http-port", "--data /d --insecure --port 7 --http-port 7")]
    [InlineData("--prot", "--data /d --prot 7")]
    [InlineData("stray", "--data /d stray")]
    [InlineData("-p", "--data /d -p 7")]
    [InlineData("--listen", "--data /d --listen nowhere")]
    [InlineData("--listen", "--data /d --listen 0.0.0.0 --dev")]
    [InlineData("--dev", "--data /d --dev=maybe")]
    [InlineData("--segment-size", "--data /d --segment-size 65537")]
    [InlineData("--segment-size", "--data /d --segment-size 1KiB")]
    [InlineData("--segment-size", "--data /d --segment-size 99999999999GiB")]
    [InlineData("--tls-key", "--data /d --tls-cert c")]
    [InlineData("--tls-cert", "--data /d --tls-key k")]
    [InlineData("--tls-cert", "--data /d --tls-key k --tls-cert /no/such/file")]
    [InlineData("--tls-cert", "--data /d --tls-key k --tls-cert c --dev")]
    [InlineData("--listen", "--data /d --listen 0.0.0.0 --admin-password-file PASSWORD")]
    [InlineData("--peer-listen", "--data /d --admin-password-file PASSWORD --peer-port 0 --peer-listen 0.0.0.0")]
    [InlineData("--admin-password-file", "--data /d")]
    [InlineData("--admin-password-file", "--data /d --admin-password-file /no/such/file")]
    [InlineData("--admin-password-file", "--data /d --admin-password-file PASSWORD --dev")]
    [InlineData("--admin-password-file", "--data /d --admin-password-file PASSWORD --insecure")]
    [InlineData("--clear-text", "--data /d --clear-text --dev")]
    [InlineData("--tls-client-ca", "--data /d --tls-client-ca PASSWORD")]
    [InlineData("--token-issuer", "--data /d --admin-password-file PASSWORD --token-keys PASSWORD")]
    [InlineData("--token-keys", "--data /d --admin-password-file PASSWORD --token-keys PASSWORD --token-issuer i --token-audience a")]
    [InlineData("--token-keys", "--data /d --admin-password-file PASSWORD --token-keys http://far.example --token-issuer i --token-audience a")]
    [InlineData("--join", "--data /d --insecure --join")]
    [InlineData("--node-id", "--data /d --insecure --node-id 65536")]
    [InlineData("--peer-port", "--data /d --insecure --peer-port 7400")]
    [InlineData("--peer-listen", "--data /d --insecure --peer-listen 127.0.0.1")]
    [InlineData("--peer-advertise", "--data /d --insecure --peer-port 0 --peer-advertise node1")]
    [InlineData("--peer-advertise", "--data /d --insecure --peer-port 0 --peer-advertise node1:0")]
    [InlineData("--advertise", "--data /d --insecure --advertise ::1:7400")]
    [InlineData("--peer-tls-key", "--data /d --insecure --peer-port 0 --peer-tls-cert c")]
    [InlineData("--peer-tls-ca", "--data /d --insecure --peer-port 0 --peer-tls-ca /no/such/file")]
    [InlineData("--election-timeout", "--data /d --insecure --election-timeout 199")]
    [InlineData("--heartbeat", "--data /d --insecure --heartbeat 49")]
    [InlineData("--log-level", "--data /d --log-level loud")]
    [InlineData("--log-format", "--data /d --log-format 1")]
    [InlineData("--config", "--data /d --config /no/such/file")]
    public void A_wrong_setting_is_refused_by_its_name(string named, string arguments)
    {
        var error = Assert.Throws<SettingException>(() => Read(arguments.Replace("PASSWORD", PasswordFile(), StringComparison.Ordinal).Split(' ', StringSplitOptions.RemoveEmptyEntries)));
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"EventVault": {"prot": 1}}""", "EventVault.prot")]
    [InlineData("""{"EventVault": {"port": {}}}""", "EventVault.port")]
    [InlineData("""{"EventVault": {"port": 1.5}}""", "EventVault.port")]
    [InlineData("""{"EventVault": {"config": "x"}}""", "EventVault.config")]
    [InlineData("""{"EventVault": 1}""", "EventVault")]
    [InlineData("""{"EventVault": {"port": 1, "http-port": 2, "port": 3}}""", "EventVault.port")]
    [InlineData("""{"EventVault": {"port": 1}, "EventVault": {}}""", "twice")]
    [InlineData("[]", "object")]
    [InlineData("""{"EventVault": """, "appsettings.json")]
    public void A_wrong_settings_file_is_refused_by_name_and_place(string json, string named)
    {
        File.WriteAllText(Path.Combine(_directory, "appsettings.json"), json);
        var error = Assert.Throws<SettingException>(() => Read(["--data", "/d"]));
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
        Assert.Contains("appsettings.json", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_settings_file_may_begin_with_a_byte_order_mark()
    {
        File.WriteAllText(Path.Combine(_directory, "appsettings.json"), """{"EventVault": {"data": "/marked"}}""", new System.Text.UTF8Encoding(encoderShouldEmitUTF8Identifier: true));
        Assert.Equal("/marked", Read(["--insecure"]).Directory);
    }

    [Fact]
    public void A_device_without_end_is_no_settings_file()
    {
        var error = Assert.Throws<SettingException>(() => Read(["--data", "/d", "--config", "/dev/zero"]));
        Assert.Contains("/dev/zero", error.Message, StringComparison.Ordinal);
        Assert.Contains("no settings file", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Usage_and_version_are_printed_instead_of_starting_whatever_stands_beside_them()
    {
        Assert.Equal(NodeSettings.Usage, NodeSettings.Read(["--data", "/d", "--help", "--nonsense"], [], _directory).Answer);
        Assert.Matches(@"^\d+\.\d+\.\d+", NodeSettings.Read(["--version"], [], _directory).Answer);
        Assert.Null(NodeSettings.Read(["--data", "/d"], [], _directory).Answer);
    }

    [Fact]
    public void A_misspelt_variable_of_the_environment_is_refused()
    {
        var error = Assert.Throws<SettingException>(() => Read(["--data", "/d"], ("EVENTVAULT_PROT", "1")));
        Assert.Contains("EVENTVAULT_PROT", error.Message, StringComparison.Ordinal);
        Assert.Contains("EVENTVAULT_PORT", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Clear_text_beyond_loopback_must_be_asked_for_in_so_many_words()
    {
        string[] node = ["--data", "/d", "--listen", "0.0.0.0"];
        Assert.Equal((IPAddress.Any, null), (Read([.. node, "--insecure"]).Address, Read([.. node, "--insecure"]).Access));
        Assert.NotNull(Read([.. node, "--clear-text", "--admin-password-file", PasswordFile()]).Access);
    }

    [Fact]
    public void An_admin_password_that_is_no_UTF_8_is_refused()
    {
        // Read as text, all bytes that are none become the same character, and any such password would do.
        var file = Path.Combine(_directory, "bytes");
        File.WriteAllBytes(file, [.. Enumerable.Range(0x80, 16).Select(i => (byte)i)]);
        var error = Assert.Throws<SettingException>(() => Read(["--data", "/d", "--admin-password-file", file]));
        Assert.Contains("is not UTF-8", error.Message, StringComparison.Ordinal);
    }

    private string PasswordFile()
    {
        var file = Path.Combine(_directory, "password");
        File.WriteAllText(file, "a-long-enough-password");
        return file;
    }

    private NodeOptions Read(string[] arguments, params (string, string)[] environment) =>
        NodeSettings.Read(arguments, environment.Select(e => new KeyValuePair<string, string>(e.Item1, e.Item2)), _directory).ToOptions();
}
