using System.Diagnostics;
using System.Text;

namespace EventVault.Admin.Tests.Support;

/// <summary>
/// Runs the commands of a document in one shell, in a folder of its own, from the first to the last. Nodes and clusters that they start are this tree's builds, go to
/// the background and take free ports; the next command finds them.
/// </summary>
public static class DocumentShell
{
    private const char Done = '\u0001';

    /// <summary>Some dozens of processes on a machine that may have two busy cores.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    private const string Prelude =
        """
        exec 2>&1
        ln -s "$ROOT/tests" tests
        pids=()
        # Children are ended by their ids, whatever became of the rest.
        trap '[ ${#pids[@]} = 0 ] || kill -TERM "${pids[@]}" 2>>errors; wait' EXIT
        alias() { :; }
        dotnet() {
          [ "$1" != build ] || return 0 # It is.
          [ "$1 $2 $3 $4" = "run -c Release --project" ] && [ "$6" = -- ] || { echo "unknown form: dotnet $*"; return 1; }
          local program=$5 log="run-${#pids[@]}" ports=
          shift 6
          [ "$program" != src/EventVault.Node ] || ports="--port 0 --http-port 0"
          : > "$log"
          command "$DOTNET" "$ROOT/$program/bin/$BUILD/$(basename "$program").dll" "$@" $ports > "$log" 2>>errors &
          pids+=($!)
          until grep -q -e '^EventVault ready' -e '^Three nodes serve' "$log"; do kill -0 "${pids[-1]}" || { cat errors; exit 1; }; sleep 0.05; done
          [ -z "$ports" ] || export EVENTVAULT_ENDPOINT="http://$(sed -n 's/^EventVault ready: gRPC \([^,]*\),.*/\1/p' "$log")"
        }
        vault-admin() {
          case $1 in
          tail)
            # It runs until it is stopped: once something has come.
            command "$DOTNET" "$ADMIN" "$@" > tailed &
            local tail=$!
            until [ -s tailed ]; do command "$DOTNET" "$ADMIN" append tail-1 --type Heard --data '{}' > /dev/null; done
            kill -TERM $tail; wait $tail; head -n 1 tailed ;;
          verify)
            # Of a node that is stopped.
            kill -TERM "${pids[-1]}"; wait "${pids[-1]}"; unset 'pids[-1]'
            command "$DOTNET" "$ADMIN" "$@" ;;
          *)
            command "$DOTNET" "$ADMIN" "$@" ;;
          esac
        }

        """;

    /// <summary>Runs them.</summary>
    /// <param name="commands">Each with what the document shows below it. A command that names a PORT is one that the command before it prints.</param>
    /// <param name="endpoint">The node that they go to until they start one; null: they start one.</param>
    /// <returns>What each printed, and its exit code.</returns>
    public static async Task<IReadOnlyList<(string Printed, int Code)>> RunAsync(IReadOnlyList<(string Command, string Output)> commands, string? endpoint = null)
    {
        var script = new StringBuilder(Prelude);
        foreach (var (command, _) in commands)
        {
            script.Append(command.Contains(":PORT", StringComparison.Ordinal) ? "eval \"$(grep -h ^export run-*)\"" : command);
            script.Append("\ncode=$?; printf '\\001%s\\001' $code; (exit $code)\n");
        }

        var folder = Directory.CreateTempSubdirectory("vault-admin-document-").FullName;
        try
        {
            var start = new ProcessStartInfo("bash", ["-c", script.ToString()]) { RedirectStandardOutput = true, StandardOutputEncoding = Encoding.UTF8, WorkingDirectory = folder };
            start.Environment["DOTNET"] = AdminProcess.Dotnet;
            start.Environment["ADMIN"] = AdminProcess.Assembly;
            start.Environment["ROOT"] = AdminProcess.Root;
            start.Environment["BUILD"] = Path.GetRelativePath(Path.Combine(AdminProcess.Root, "tools", "vault-admin", "bin"), Path.GetDirectoryName(AdminProcess.Assembly)!);
            if (endpoint is not null)
            {
                start.Environment["EVENTVAULT_ENDPOINT"] = endpoint;
            }

            using var process = Process.Start(start)!;
            var parts = (await OutputAsync(process)).Split(Done);
            Assert.True(parts.Length == (2 * commands.Count) + 1, $"`{commands[Math.Min(parts.Length / 2, commands.Count - 1)].Command}` ended the shell: {parts[^1]}");
            return [.. Enumerable.Range(0, commands.Count).Select(i => (parts[2 * i], int.Parse(parts[(2 * i) + 1], System.Globalization.CultureInfo.InvariantCulture)))];
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<string> OutputAsync(Process process)
    {
        using var limit = new CancellationTokenSource(Limit);
        try
        {
            var output = await process.StandardOutput.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return output;
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
