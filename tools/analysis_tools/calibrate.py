"""Find the temperature with which a segmentor's probabilities are right as often as they say.

Predicts the config's validation data, whose masks have to be true ones, and prints the expected
calibration error as it is and with the best temperature, for model.test_cfg of predict.py.
"""

from mmengine.config import Config
from mmengine.runner import Runner

from mmexact.apis.command_line import config_parser, load_config
from mmexact.apis.configs import settings_at_fault
from mmexact.engine.checkpoint import load_weights


def main() -> None:
    """Calibrate as the command line says."""
    parser = config_parser(__doc__, checkpoint=True)
    args = parser.parse_args()
    cfg = load_config(args)
    try:
        scores = calibrate(cfg, args.checkpoint)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    found = {name.rpartition('/')[2]: value for name, value in scores.items()}
    print(f'expected calibration error: {found["ECE"]:.1f} %')
    print(f'with temperature {found["temperature"]:g}: {found["scaled_ECE"]:.1f} %')
    print(f'predict.py --cfg-options model.test_cfg.temperature={found["temperature"]:g}')


def calibrate(cfg: Config, checkpoint: str) -> dict[str, float]:
    """Score the validation data of a config with a :class:`CalibrationMetric`.

    Raises:
        FileNotFoundError: There is no such checkpoint, or no data.
        ValueError: There are no validation data, or they have no masks.
    """
    if not cfg.get('val_dataloader'):
        raise ValueError(f'{cfg.filename}: has no val_dataloader, which a temperature is fitted on')
    cfg.load_from, cfg.resume = None, False
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, dict(type='CalibrationMetric')
    cfg.test_cfg = dict(type='TestLoop')
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    with settings_at_fault(str(cfg.filename)):
        runner = Runner.from_cfg(cfg)
        dataset = runner.test_dataloader.dataset
    load_weights(runner.model, checkpoint, dataset)
    scores: dict[str, float] = runner.test()
    return scores


if __name__ == '__main__':
    main()
