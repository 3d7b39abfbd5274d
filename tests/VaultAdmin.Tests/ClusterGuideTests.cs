using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

/// <summary>
/// docs/CLUSTER.md does what it shows: all of its shell blocks are run in one shell, from the first to the last, and print what stands below them. What differs
/// from run to run is left out of the comparison: times, terms, log indexes, clocks, and which node leads.
/// </summary>
public sealed partial class ClusterGuideTests : IDisposable
{
    private const char Done = '\u0001';

    // Eight processes begin and join on a machine that may have two busy cores.
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    private readonly string _folder = Directory.CreateTempSubdirectory("vault-admin-guide-").FullName;

    // In front of the guide's lines. What runs until it is stopped goes to the background, and has begun when it says so; a status is asked for until all is well, as
    // on a busy machine a node may not answer it in time.
    private const string Prelude =
        """
        set -eu
        pids=()
        # Children are ended by their ids, in order, whatever became of the rest.
        trap 'kill -TERM "${pids[@]}" 2>>errors || true; wait || true' EXIT
        alias() { :; }
        dotnet() {
          [ "$1" != build ] || return 0 # It is.
          [ "$1 $2 $3 $4" = "run -c Release --project" ] && [ "$6" = -- ]
          local program=$5 log="run-${#pids[@]}"
          shift 6
          command "$DOTNET" "$ROOT/$program/bin/$BUILD/$(basename "$program").dll" "$@" > "$log" 2>>errors &
          pids+=($!)
          until grep -q -e '^EventVault ready' -e '^Three nodes serve' "$log" 2>>errors; do kill -0 "${pids[-1]}"; sleep 0.05; done
        }
        vault-admin() {
          if [ "$*" = "cluster status" ]; then
            until command "$DOTNET" "$ADMIN" cluster status > status 2>>errors; do sleep 0.1; done
            cat status
          else
            # 5: no node answered, and nothing was done.
            local code=0
            command "$DOTNET" "$ADMIN" "$@" > printed 2>>errors || code=$?
            while [ $code = 5 ]; do code=0; command "$DOTNET" "$ADMIN" "$@" > printed 2>>errors || code=$?; done
            cat printed
            return $code
          fi
        }

        """;

    [GeneratedRegex(@"\b74(?<node>[1-6])(?<port>[0-2])\b")]
    private static partial Regex GuidePort();

    [GeneratedRegex(@"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z|(?<=term )\d+|(?<=Node )\d+")]
    private static partial Regex Varying();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Its_commands_do_and_print_what_it_shows()
    {
        var shown = Commands();
        Assert.True(shown.Count > 15, $"Only {shown.Count} commands were found: has the form of the blocks changed?");
        var ports = new Dictionary<string, string>();
        var script = new StringBuilder(Prelude);
        foreach (var (command, _) in shown)
        {
            // The line that tools/cluster printed stands for the one in the guide.
            script.Append(command.Contains(":PORT", StringComparison.Ordinal) ? "eval \"$(grep ^export run-0)\"" : GuidePort().Replace(command, m => PortFor(m.Value)));
            script.Append("\nprintf '\\001'\n");
        }

        var (code, printed) = await RunAsync(script.ToString());
        var errors = await File.ReadAllTextAsync(Path.Combine(_folder, "errors"));
        Assert.True(code == 0 && printed.Length == shown.Count + 1, $"`{shown[Math.Min(printed.Length, shown.Count) - 1].Command}` failed: exit code {code}.\n{printed[^1]}\n{errors}");
        for (var i = 0; i < shown.Count; i++)
        {
            if (shown[i].Output.Length > 0)
            {
                var output = ports.Aggregate(printed[i], static (text, port) => text.Replace($":{port.Value} ", $":{port.Key} ", StringComparison.Ordinal));
                Assert.Equal($"$ {shown[i].Command}\n{Comparable(shown[i].Output)}", $"$ {shown[i].Command}\n{Comparable(output)}");
            }
        }

        string PortFor(string port)
        {
            if (!ports.TryGetValue(port, out var free))
            {
                // A port that is free now may have been told before: whoever got it has not taken it yet.
                do
                {
                    free = $"{TestNode.FreePort()}";
                }
                while (ports.ContainsValue(free));

                ports[port] = free;
            }

            return free;
        }
    }

    // Tables by their cells, as widths follow the content.
    private static string Comparable(string output)
    {
        var lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(l => l[0] is not ('┌' or '├' or '└')).Select(line =>
        {
            var cells = line.Split('│');
            return cells.Length == 1 || cells[1].Trim() == "node" ? Varying().Replace(line, "…") : string.Join('|', cells.Select((c, i) => i switch
            {
                1 => c.Replace('*', ' ').Trim(),
                4 or 5 or 6 or 8 or 9 => c.Trim().Length == 0 ? "" : "…",
                _ => c.Trim(),
            }));
        });
        return Regex.Replace(string.Join('\n', lines), " +", " ");
    }

    private static List<(string Command, string Output)> Commands()
    {
        var commands = new List<(string Command, string Output)>();
        var isShell = false;
        foreach (var line in File.ReadLines(Path.Combine(AdminProcess.Root, "docs", "CLUSTER.md")))
        {
            if (line.StartsWith("```", StringComparison.Ordinal))
            {
                isShell = line == "```sh";
            }
            else if (isShell && line.StartsWith("$ ", StringComparison.Ordinal))
            {
                commands.Add((line[2..], ""));
            }
            else if (isShell)
            {
                commands[^1] = (commands[^1].Command, commands[^1].Output + line + "\n");
            }
        }

        return commands;
    }

    private async Task<(int Code, string[] Printed)> RunAsync(string script)
    {
        var start = new ProcessStartInfo("bash", ["-c", script]) { RedirectStandardOutput = true, StandardOutputEncoding = Encoding.UTF8, WorkingDirectory = _folder };
        start.Environment["DOTNET"] = AdminProcess.Dotnet;
        start.Environment["ADMIN"] = AdminProcess.Assembly;
        start.Environment["ROOT"] = AdminProcess.Root;
        start.Environment["BUILD"] = Path.GetRelativePath(Path.Combine(AdminProcess.Root, "tools", "vault-admin", "bin"), Path.GetDirectoryName(AdminProcess.Assembly)!);
        using var process = Process.Start(start)!;
        using var limit = new CancellationTokenSource(Limit);
        try
        {
            var output = await process.StandardOutput.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, output.Split(Done));
        }
        catch (OperationCanceledException)
        {
            // SIGTERM: its trap ends what it has started.
            await TestNode.SignalAsync("TERM", process);
            await process.WaitForExitAsync(CancellationToken.None);
            throw;
        }
    }
}
