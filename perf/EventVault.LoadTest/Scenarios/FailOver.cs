using System.Diagnostics;
using EventVault.Client;
using EventVault.LoadTest.Running;

namespace EventVault.LoadTest.Scenarios;

/// <summary>Appends to a cluster while one of its nodes is ended: how long nothing is acknowledged, and that nothing acknowledged is lost.</summary>
internal sealed class FailOver(Target target)
{
    private readonly string _run = Target.NewRun();
    private readonly Values<byte[]> _data = EventBytes.Payloads(256);
    private readonly Lock _lock = new();
    private long[] _acknowledged = [];
    private long[] _unknown = [];
    private TimeSpan _lastAnswer;
    private TimeSpan _longestGap;
    private Recording? _measured;
    private VaultClient? _client;

    public static IEnumerable<Scenario> Scenarios(Target target) => target.Options.Numbers("in-flight", 16).Select(copies => new FailOver(target).Scenario(copies));

    private Scenario Scenario(int copies)
    {
        (_acknowledged, _unknown) = (new long[copies], new long[copies]);
        return new Scenario
        {
            Name = $"cluster-fail-over-{copies}",
            Description = "Appends of single events of 256 B to the nodes given; after a third of the time the kill command runs. At the end every acknowledged event must be there, once.",
            Loads = [new KeepConstant(copies, target.Options.Length)],
            WarmUp = target.Options.WarmUp,
            StatusOf = Target.StatusOf,
            Thresholds = [Threshold.SomethingDone, Threshold.None("lost"), Threshold.None("written twice")],
            Init = () => Task.FromResult(_client = target.Connect()),
            Beside = KillAsync,
            Run = AppendAsync,
            Check = CheckAsync,
            Clean = () => _client?.DisposeAsync() ?? default,
        };
    }

    private async Task AppendAsync(Iteration iteration)
    {
        try
        {
            await _client!.AppendAsync(StreamOf(iteration.Copy), ExpectedVersion.Any, new EventData(EventBytes.Type, _data.Next()));
            _acknowledged[iteration.Copy]++;
            Answered();
        }
        catch (VaultException e)
        {
            // What is definitely not written counts as nothing; what may be, as a maybe.
            _unknown[iteration.Copy] += e.Code is VaultErrorCode.OutcomeUnknown or VaultErrorCode.RetryTooOld ? 1 : 0;
            throw;
        }
    }

    private void Answered()
    {
        lock (_lock)
        {
            var now = target.Clock.Now;
            if (_measured is not null && now - _lastAnswer is var gap && gap > _longestGap)
            {
                _longestGap = gap;
            }

            _lastAnswer = now;
        }
    }

    private async Task KillAsync(Recording recording, CancellationToken end)
    {
        lock (_lock)
        {
            (_measured, _lastAnswer) = (recording, target.Clock.Now);
        }

        if (target.Options.KillCommand is not { } command)
        {
            return;
        }

        await Task.Delay(target.Options.Length / 3, end);
        using var shell = Process.Start("sh", ["-c", command]);
        await shell.WaitForExitAsync(end);
        if (shell.ExitCode != 0)
        {
            throw new InvalidOperationException($"The kill command ended with exit code {shell.ExitCode}.");
        }
    }

    private async Task CheckAsync(Recording recording)
    {
        var (lost, twice) = (0L, 0L);
        for (var copy = 0; copy < _acknowledged.Length; copy++)
        {
            var there = await AppendScenarios.CountAsync(_client!, StreamOf(copy));
            lost += Math.Max(0, _acknowledged[copy] - there);
            twice += Math.Max(0, there - _acknowledged[copy] - _unknown[copy]);
        }

        recording.Found("lost", lost);
        recording.Found("written twice", twice);
        recording.Found("longest time without an answer, ms", (long)_longestGap.TotalMilliseconds);
    }

    private string StreamOf(long copy) => $"cluster-{_run}-{copy}";
}
