using Spectre.Console;

namespace EventVault.Admin;

/// <summary>A progress bar on stderr, only if that is a terminal: logs and scripts see none.</summary>
internal static class ProgressBar
{
    /// <summary>Runs <paramref name="work"/> under a bar.</summary>
    /// <param name="title">What is going on.</param>
    /// <param name="work">Reports how much is done, from 0 to 1.</param>
    /// <typeparam name="T">Type of the result.</typeparam>
    public static Task<T> RunAsync<T>(string title, Func<Action<double>, Task<T>> work)
    {
        if (Console.IsErrorRedirected)
        {
            return work(_ => { });
        }

        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        return console.Progress()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .StartAsync(context =>
            {
                var task = context.AddTask(Markup.Escape(title), maxValue: 1);
                return work(done => task.Value = done);
            });
    }
}
