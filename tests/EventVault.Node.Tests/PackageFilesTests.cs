using System.Globalization;
using System.Net;
using System.Text.Json;

namespace EventVault.Node.Tests;

/// <summary>
/// What starts a node in production (tools/package, Dockerfile) speaks of settings that there are, and takes exit codes for what they are. No Docker daemon and
/// no systemd runs here; tools/package/check.py tries the rest.
/// </summary>
public sealed class PackageFilesTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("eventvault-package-tests-").FullName;

    // The tests are built to tests/PROJECT/bin/CONFIGURATION/FRAMEWORK.
    private static string Root { get; } = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "..", "..", ".."));

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void The_unit_starts_the_node_by_settings_that_there_are()
    {
        var command = Unit("ExecStart").Single().Split(' ');
        var state = Path.Combine("/var/lib", Unit("StateDirectory").Single());
        var password = Path.Combine(_directory, "admin.password");
        File.WriteAllText(password, new string('x', 64));

        // The settings file names a file of the machine; variables come before it.
        Assert.Contains("\"admin-password-file\": \"/etc/eventvault/admin.password\"", File.ReadAllText(Package("eventvault.json")), StringComparison.Ordinal);
        var options = Options(command[1..].Select(a => a.Replace("/etc/eventvault", Package(""), StringComparison.Ordinal)), [KeyValuePair.Create("EVENTVAULT_ADMIN_PASSWORD_FILE", password)]);
        Assert.Equal((state, IPAddress.Loopback, 7400, 7401), (options.Directory, options.Address, options.Port, options.HttpPort));
        Assert.True(TimeSpan.FromSeconds(int.Parse(Unit("TimeoutStopSec").Single(), CultureInfo.InvariantCulture)) > 2 * options.DrainTimeout);
    }

    [Fact]
    public void The_unit_starts_nothing_again_that_only_people_can_mend() => Assert.Equal(
        [ExitCode.Usage, ExitCode.Damage, ExitCode.DirectoryInUse, ExitCode.UnsupportedFormat],
        Unit("RestartPreventExitStatus").Single().Split(' ').Select(c => int.Parse(c, CultureInfo.InvariantCulture)).Order());

    [Fact]
    public void The_image_starts_the_node_by_variables_that_there_are()
    {
        var options = Options(["--insecure"], ImageVariables());
        Assert.Contains($"VOLUME [\"{options.Directory}\"]", Dockerfile());
        Assert.Contains(Dockerfile(), l => l.StartsWith("EXPOSE ", StringComparison.Ordinal) && l.Split(' ')[1..].Take(2).SequenceEqual([$"{options.Port}", $"{options.HttpPort}"]));
        Assert.Contains(Dockerfile(), l => l.StartsWith("HEALTHCHECK ", StringComparison.Ordinal) && l.EndsWith("\"health\", \"--live\"]", StringComparison.Ordinal));
        Assert.Contains("ENTRYPOINT [\"/usr/local/bin/eventvault\"]", Dockerfile());

        // Without a shell a list is started as it stands, and anything else by one.
        Assert.All(Dockerfile().Where(l => l.StartsWith("CMD", StringComparison.Ordinal) || l.Contains(" CMD ", StringComparison.Ordinal) || l.StartsWith("ENTRYPOINT", StringComparison.Ordinal)), l => Assert.Contains("[\"/usr/local/bin/", l, StringComparison.Ordinal));
        Assert.Contains(Dockerfile(), l => l.StartsWith("USER ", StringComparison.Ordinal) && l != "USER root" && l != "USER 0");
    }

    [Fact]
    public void Each_node_of_the_compose_file_takes_its_command_line()
    {
        var nodes = File.ReadAllLines(Package("compose.yaml")).Where(l => l.Contains("command: [\"--", StringComparison.Ordinal))
            .Select(l => Options(JsonSerializer.Deserialize<string[]>(l[l.IndexOf('[', StringComparison.Ordinal)..])!, ImageVariables())).ToList();
        Assert.Equal(3, nodes.Count);
        Assert.All(nodes, n => Assert.True(n.Join && n.PeerPort == 7402 && n.Address.Equals(IPAddress.Any)));
        Assert.Equal(["node1:7400", "node2:7400", "node3:7400"], nodes.Select(n => n.Advertise));
        Assert.Equal(["node1:7402", "node2:7402", "node3:7402"], nodes.Select(n => n.PeerAdvertise));
    }

    private static string Package(string name) => Path.Combine(Root, "tools", "package", name).TrimEnd('/');

    private static IEnumerable<string> Unit(string name) =>
        File.ReadAllLines(Package("eventvault.service")).Where(l => l.StartsWith(name + "=", StringComparison.Ordinal)).Select(l => l[(name.Length + 1)..]);

    private static string[] Dockerfile() => File.ReadAllLines(Path.Combine(Root, "Dockerfile"));

    private static KeyValuePair<string, string>[] ImageVariables() =>
        [.. Dockerfile().Where(l => l.StartsWith("ENV ", StringComparison.Ordinal)).Select(l => l["ENV ".Length..].Split('=')).Select(v => KeyValuePair.Create(v[0], v[1]))];

    private NodeOptions Options(IEnumerable<string> arguments, IEnumerable<KeyValuePair<string, string>> environment) =>
        NodeSettings.Read([.. arguments], environment, _directory).ToOptions();
}
